"""What happened to each item, kept so that a run that stopped can go on.

An append-only file of JSON lines; the last line of an id counts. Several processes may write to one ledger: each line
is appended under a lock in one write and flushed. A line that a crash tore off is ignored by readers and closed by the
next writer.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from storage.atomic import full_disk_explained

FINISHED = ("ok", "rejected")


class Ledger:
    """The outcomes of a run or of a stage, by content id.

    Args:
        path: the file; it need not exist yet.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.torn = 0
        self._entries: dict[str, dict[str, Any]] = {}
        self._attempts: dict[str, int] = {}
        self._read_to = 0
        self._identity: tuple[int, int] | None = None

    def record(self, id: str, status: str, *, durable: bool = True, **details: Any) -> None:
        """Append an outcome: `status` is ``ok``, ``rejected``, ``failed``, or ``started`` before risky work.

        Details are JSON values; the time is added as `at` (seconds since 1970).

        Args:
            durable: wait for the disk. Without it a line outlives the death of its process, not that of the machine.

        Raises:
            StorageFull: the disk is full; nothing of the line is left in the file.
            TypeError: a detail is no JSON value.
        """
        entry = {"id": id, "status": status, **details, "at": round(time.time(), 3)}
        line = json.dumps(entry, ensure_ascii=False, allow_nan=True).encode() + b"\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line  # a crash tore the line before: keep it from swallowing this one
            with full_disk_explained(self.path):
                try:
                    _write_all(descriptor, line)
                    if durable:
                        os.fsync(descriptor)
                except OSError:
                    os.ftruncate(descriptor, size)
                    raise
        finally:
            os.close(descriptor)

    def last(self, id: str) -> dict[str, Any] | None:
        """The latest entry of `id`, None if there is none."""
        self._refresh()
        entry = self._entries.get(id)
        return None if entry is None else dict(entry)

    def done(self, id: str) -> bool:
        """Whether `id` came to an end that a rerun does not change: ok or rejected. Failed items are tried again."""
        entry = self.last(id)
        return entry is not None and entry["status"] in FINISHED

    def attempts(self, id: str) -> int:
        """How often work on `id` was started: its ``started`` lines, or its outcomes where there are none."""
        self._refresh()
        return self._attempts.get(id, 0)

    def entries(self) -> list[dict[str, Any]]:
        """The latest entry of every id, in the order in which the ids first appeared."""
        self._refresh()
        return [dict(entry) for entry in self._entries.values()]

    def counts(self) -> dict[str, int]:
        """How many ids stand at each status."""
        totals: dict[str, int] = {}
        for entry in self.entries():
            totals[entry["status"]] = totals.get(entry["status"], 0) + 1
        return totals

    def _refresh(self) -> None:
        for line in self._new_lines():
            try:
                entry = json.loads(line)
                id, status = entry["id"], entry["status"]
            except (ValueError, TypeError, KeyError):
                self.torn += 1
                continue
            # A start counts; an outcome counts only when no start was written before it.
            before = self._entries.get(id)
            if status == "started" or before is None or before["status"] != "started":
                self._attempts[id] = self._attempts.get(id, 0) + 1
            self._entries[id] = entry

    def _new_lines(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as stream:
                stat = os.fstat(stream.fileno())
                identity = (stat.st_dev, stat.st_ino)
                if identity != self._identity or stat.st_size < self._read_to:
                    self._entries, self._attempts, self._read_to, self.torn = {}, {}, 0, 0
                    self._identity = identity
                stream.seek(self._read_to)
                for line in stream:
                    if not line.endswith(b"\n"):
                        return  # being written, or torn: it is read once a writer has closed it
                    self._read_to += len(line)
                    if line.strip():
                        yield line
        except FileNotFoundError:
            return


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
