"""Files that appear whole or not at all, and locks between processes.

Everything is written to ``.NAME.HOST-PID-TOKEN.partial`` beside its destination, flushed to disk, and renamed. A crash
leaves at most such a partial file, which the next writer of the same destination removes once its writer is gone, or,
where that one was on another host, after hours.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from storage.errors import LockHeld, StorageFull, UsageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
STALE_S = 6 * 3600.0
"""A file begun by another host and untouched for so long has lost its writer; clocks of hosts may differ by minutes."""
_HOST = "".join(letter for letter in socket.gethostname() if letter.isalnum())[:24] or "host"


@contextlib.contextmanager
def written_aside(path: str | os.PathLike[str], durable: bool = True) -> Iterator[Path]:
    """Give a path to write a file to; on leaving without an error it is flushed and renamed to `path`.

    On an error the aside file is removed and an older file at `path` stays as it was.

    Args:
        durable: wait for the disk. Without it a file outlives the death of its process, but a power cut may spoil it:
            for what can be made anew.

    Raises:
        StorageFull: the disk or quota ran out.
        UsageError: `path` is a folder or a device, which a file must not take the place of.
        FileNotFoundError: the body wrote nothing.
    """
    target = Path(path)
    if target.exists() and not target.is_file():
        raise UsageError(f"{target}: is no file", "name a file to write to")
    with full_disk_explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        clear_partials(target)
        partial = _partial_name(target)
        try:
            yield partial
            if durable:
                _flush(partial)
            partial.replace(target)
            if durable:
                _flush(target.parent)
        finally:
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def directory_written_aside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give an empty directory to fill; on leaving without an error it is renamed to `path`.

    A directory already at `path` is left alone and the new one dropped: directories written this way are named by
    their content, so whoever came first wrote the same.
    """
    target = Path(path)
    with full_disk_explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        clear_partials(target)
        partial = _partial_name(target)
        partial.mkdir()
        try:
            yield partial
            for file in partial.rglob("*"):
                if file.is_file():
                    _flush(file)
            try:
                partial.rename(target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            _flush(target.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with written_aside(path) as partial:
        partial.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON with sorted keys (the same value gives the same bytes)."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def clear_partials(target: str | os.PathLike[str]) -> int:
    """Remove what dead writers of `target` left behind; returns how many.

    Of this host's writers it is known which are dead; what other hosts began (nodes of a cluster, which come and go)
    and have not touched for `STALE_S` is taken for dead too.
    """
    target = Path(target)
    removed = 0
    prefix = f".{target.name}."
    if not target.parent.is_dir():
        return 0
    for left in target.parent.iterdir():
        if not (left.name.startswith(prefix) and left.name.endswith(".partial")):
            continue
        host, dash, rest = left.name.removeprefix(prefix).partition("-")
        pid = rest.split("-", 1)[0]
        if not (dash and host.isalnum() and pid.isdigit()):
            continue
        if _alive(int(pid)) if host == _HOST else _touched(left) > time.time() - STALE_S:
            continue
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
        removed += 1
    return removed


def _touched(place: Path) -> float:
    """When a file, or any file of a folder, was last written to; seconds since 1970."""
    moments = [time.time()]  # where it went meanwhile
    for path in (place, *place.rglob("*")):
        with contextlib.suppress(OSError):
            moments.append(path.stat().st_mtime)
    return max(moments[1:] or moments)


@contextlib.contextmanager
def full_disk_explained(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn the operating system's "no space left" into `StorageFull`, which names the place and what is free there."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StorageFull(
            f"{path}: the disk or quota is full ({_free(Path(path))} free)",
            "free some space and run the same command again; it goes on where it stopped",
        ) from error


class FileLock:
    """A lock between processes and threads, held on a file by flock(2); the kernel frees it when its holder dies.

    Use it as a context manager. It is not reentrant: a second `FileLock` on the same path waits, in one process too.

    Args:
        path: the lock file; it is created and stays.
        timeout_s: how long to wait; None waits for ever, 0 tries once.

    Raises:
        LockHeld: on entering, when the time is up.
    """

    def __init__(self, path: str | os.PathLike[str], timeout_s: float | None = None) -> None:
        self.path = Path(path)
        self.timeout_s = timeout_s
        self._descriptor: int | None = None

    def __enter__(self) -> FileLock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            self._wait(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return self

    def _wait(self, descriptor: int) -> None:
        if self.timeout_s is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            return
        deadline = time.monotonic() + self.timeout_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise LockHeld(
                        f"{self.path}: held by another process for more than {self.timeout_s:g} s",
                        "wait for the other run to end, or give this one another --root",
                    ) from None
                time.sleep(0.02)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)  # closing the only descriptor of an open file description frees its flock
            self._descriptor = None


def _partial_name(target: Path) -> Path:
    return target.with_name(f".{target.name}.{_HOST}-{os.getpid()}-{secrets.token_hex(3)}.partial")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _free(path: Path) -> str:
    for place in (path, *path.parents):
        if place.exists():
            return f"{shutil.disk_usage(place).free / 1e6:.1f} MB"
    return "an unknown amount"
