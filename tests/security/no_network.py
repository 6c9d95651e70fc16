"""A command in a network of its own that has nothing but loopback; what it tries to reach beyond is counted.

``python -m tests.security.no_network COUNTS WORD…`` runs WORD… and writes {"attempts": N} to the file COUNTS. The
kernel counts, so it does not matter which library, or which language it is written in, asks.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
_SET_FLAGS, _UP_AND_RUNNING = 0x8914, 0x41


def is_possible() -> bool:
    """Whether this machine lets a process have a network of its own."""
    script = "from tests.security.no_network import leave_the_network as leave; leave()"
    return subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == 0


def leave_the_network() -> None:
    """From now on this process and its children see loopback alone."""
    user, group = os.getuid(), os.getgid()
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_USER | _NEW_NETWORK) != 0:
        raise OSError(ctypes.get_errno(), "a network of one's own is not allowed here")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh22x", b"lo", _UP_AND_RUNNING))


def attempts() -> int:
    """Packets and connections, of all protocols, for which there was no way out."""
    lines = Path("/proc/self/net/snmp").read_text().splitlines()
    names, values = (line.split() for line in lines if line.startswith("Ip:"))
    found = int(dict(zip(names, values, strict=True))["OutNoRoutes"])
    for line in Path("/proc/self/net/snmp6").read_text().splitlines():
        name, value = line.split()
        found += int(value) if name == "Ip6OutNoRoutes" else 0
    return found


def main(counts: str, *words: str) -> int:
    leave_the_network()
    code = subprocess.run(words).returncode
    Path(counts).write_text(json.dumps({"attempts": attempts()}))
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
