"""Which ports a process and its children listen on, as the kernel tells it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

import psutil

_LISTENS = "0A"
_TABLES = ("tcp", "tcp6", "udp", "udp6")


@dataclass(frozen=True)
class Listener:
    """A port, the interface that it is bound to, and the program that holds it."""

    program: str
    host: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int

    @property
    def is_loopback(self) -> bool:
        mapped = getattr(self.host, "ipv4_mapped", None)
        return (mapped or self.host).is_loopback


def listeners_of(pid: int) -> list[Listener]:
    """Ports on which a process or any of its descendants takes connections, or datagrams from everywhere."""
    family = [psutil.Process(pid)]
    family += family[0].children(recursive=True)
    found = []
    for process in family:
        try:
            sockets = _sockets(process.pid)
            found += [
                Listener(process.name(), host, port) for inode, host, port in _bound(process.pid) if inode in sockets
            ]
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            continue
    return found


def _sockets(pid: int) -> set[str]:
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = link.readlink().as_posix()
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    return inodes


def _bound(pid: int) -> list[tuple[str, ipaddress.IPv4Address | ipaddress.IPv6Address, int]]:
    found = []
    for table in _TABLES:
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            where, _, port = fields[1].partition(":")
            if table.startswith("tcp") and fields[3] != _LISTENS:
                continue
            if table.startswith("udp") and fields[2].partition(":")[0].strip("0"):
                continue  # connected to somebody: takes datagrams from there alone
            found.append((fields[9], _address(where), int(port, 16)))
    return found


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The kernel writes words of four bytes in the order of the machine."""
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    return ipaddress.ip_address(b"".join(words))
