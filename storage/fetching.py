"""Footage that lies in an object store: listed there, and brought here a file at a time while it is read.

An address is a URI of an object store that fsspec knows (`storage.addresses`: ``s3://bucket/prefix``, ``gs://``, …).
Its files are kept under ``cache/fetched/STAMP/`` of the root, where STAMP tells one content of an address from another,
so that several steps and workers share one copy. A copy is locked while it is read; those that nobody reads make room
for others, the one longest unread first.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import fsspec.core

from storage.addresses import check_address
from storage.atomic import written_aside
from storage.errors import ConfigError, DubwrightError, InputFailed, InputRejected
from storage.ids import content_id
from storage.layout import Root

DEFAULT_LIMIT = 20 << 30
"""Bytes of copies kept."""
_TRIES = 3
_PAUSE_S = 0.5
_ETAGS = ("ETag", "etag", "md5Hash", "md5", "content_md5", "checksum", "generation")
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")


def is_remote(uri: str) -> bool:
    """Whether it is an address in a store, and no local path."""
    return "://" in uri and not uri.startswith("file://")


def local_path(uri: str) -> str:
    """A path as it is, of ``file:///a/b`` the path."""
    return uri.removeprefix("file://")


def exists(uri: str) -> bool:
    """Whether a remote file or folder is there.

    Raises:
        ConfigError: no such kind of store.
        InputFailed: the store does not answer.
    """
    return bool(_asked(uri, lambda filesystem, path: filesystem.exists(path)))


def is_folder(uri: str) -> bool:
    """Whether a remote address is a folder (a prefix); raises as `exists`."""
    return bool(_asked(uri, lambda filesystem, path: filesystem.isdir(path)))


def files_below(uri: str, suffixes: Collection[str]) -> list[str]:
    """Addresses of all files below a remote folder that end in one of `suffixes` (lower case), in order.

    Hidden ones (a part of the path begins with a dot) are left out. Raises as `exists`.
    """
    folder = uri.rstrip("/")

    def found(filesystem: Any, path: str) -> list[str]:
        inside = (name[len(path.rstrip("/")) :] for name in filesystem.find(path))
        return sorted(
            folder + below for below in inside
            if os.path.splitext(below)[1].lower() in suffixes and "/." not in below
        )  # fmt: skip

    return list(_asked(uri, found))


def remote_stamp(uri: str) -> str:
    """A hash of an address and of what the store says of its content (its etag, else size and time), 20 hex digits.

    Raises:
        InputFailed: it is not there, or the store does not answer.
        ConfigError: no such kind of store.
    """
    return _stamp(uri, _facts(uri))


@contextmanager
def local_copy(uri: str, root: Root | str | os.PathLike[str], limit: int = DEFAULT_LIMIT) -> Iterator[Path]:
    """A path at which the file can be read until the block ends; of a local file its own.

    Args:
        root: whose cache holds the copies.
        limit: bytes of copies kept. Copies in use are never removed, so that they may be more while many are.

    Raises:
        InputRejected: larger than `limit`.
        InputFailed: it is not there, the store does not answer, or it changed while it was fetched.
        StorageFull: no room.
    """
    if not is_remote(uri):
        yield Path(local_path(uri))
        return
    facts = _facts(uri)
    size = int(facts.get("size") or 0)
    if size > limit:
        raise InputRejected(
            "fetch", "bytes", size, limit, "byte", "raise runtime.fetched_mb, or cut the file", path=uri
        )
    place = Root(root).cache / "fetched" / _stamp(uri, facts)
    copy = place / (uri.rsplit("/", 1)[-1] or "file")
    while True:
        with _locked(place, fcntl.LOCK_SH) as valid:
            if valid and copy.is_file():
                os.utime(place)
                yield copy
                return
        with _locked(place, fcntl.LOCK_EX) as valid:
            if valid and not copy.is_file():
                make_room(place.parent, limit - size)
                _download(uri, copy, facts)


def make_room(folder: Path, limit: int) -> int:
    """Remove copies that nobody reads, longest unread first, until at most `limit` bytes are left; returns the bytes
    removed."""
    copies = []
    for place in folder.iterdir() if folder.is_dir() else ():
        try:
            held = sum(file.stat().st_size for file in place.iterdir())
            copies.append((place.stat().st_mtime, held, place))
        except OSError:
            continue  # another process has just removed it
    left, removed = sum(held for _, held, _ in copies), 0
    for _, held, place in sorted(copies):
        if left - removed <= limit:
            break
        if _removed(place):
            removed += held
    return removed


@contextmanager
def _locked(place: Path, how: int) -> Iterator[bool]:
    """The place's lock, shared by readers or held alone; False where the place was removed while one waited for it."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(place / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except (FileNotFoundError, FileExistsError):  # removed between one call and the next, mkdir's own look included
        yield False
        return
    try:
        fcntl.flock(descriptor, how)
        yield _is_lock_of(descriptor, place)
    finally:
        os.close(descriptor)


def _is_lock_of(descriptor: int, place: Path) -> bool:
    try:
        return os.fstat(descriptor).st_ino == (place / ".lock").stat().st_ino
    except FileNotFoundError:
        return False


def _removed(place: Path) -> bool:
    try:
        descriptor = os.open(place / ".lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        # The lock goes last: who comes once it is gone makes another one, and must not find a copy that is about to go.
        for file in sorted(place.iterdir(), key=lambda file: file.name == ".lock"):
            file.unlink(missing_ok=True)
        with suppress(OSError):  # somebody came meanwhile
            place.rmdir()
        return True
    finally:
        os.close(descriptor)


def _download(uri: str, copy: Path, facts: dict[str, Any]) -> None:
    with written_aside(copy) as partial:
        _asked(uri, lambda filesystem, path: filesystem.get_file(path, str(partial)))
        got, size = partial.stat().st_size, facts.get("size")
        if (size is not None and got != size) or remote_stamp(uri) != _stamp(uri, facts):
            raise InputFailed(
                uri, f"changed while it was fetched ({got} of {size} bytes)", "run it again", stage="fetch",
                error_type="Changed",
            )  # fmt: skip


def _facts(uri: str) -> dict[str, Any]:
    facts = dict(_asked(uri, lambda filesystem, path: filesystem.info(path)))
    if facts.get("type") == "directory":
        raise InputFailed(uri, "is a folder", "name a file in it", stage="fetch", error_type="IsADirectoryError")
    return facts


def _stamp(uri: str, facts: dict[str, Any]) -> str:
    for names in (_ETAGS, _TIMES):
        told = next((str(facts[name]) for name in names if facts.get(name)), None)
        if told is not None:
            break
    return content_id("remote", uri, facts.get("size"), told)


def _asked(uri: str, question: Any) -> Any:
    """What a store answers; asked again where it stumbles. `question` gets the file system and the path in it."""
    filesystem, path = _store(uri)
    for attempt in range(_TRIES):
        try:
            filesystem.invalidate_cache()
            return question(filesystem, path)
        except DubwrightError:
            raise
        except (FileNotFoundError, PermissionError, IsADirectoryError, NotImplementedError) as error:
            why = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
            raise InputFailed(
                uri, why, "check the address and your credentials", stage="fetch", error_type=type(error).__name__
            ) from error
        except Exception as error:
            if getattr(error, "errno", None) in _DISK_FULL:
                raise
            if attempt + 1 == _TRIES:
                raise InputFailed(
                    uri, f"cannot be fetched: {error}", "check the network and run it again", stage="fetch",
                    error_type=type(error).__name__,
                ) from error  # fmt: skip
            time.sleep(_PAUSE_S * 2**attempt)
    raise AssertionError("not reached")


_DISK_FULL = (27, 28, 122)  # EFBIG, ENOSPC, EDQUOT: `written_aside` explains them


def _store(uri: str) -> tuple[Any, str]:
    check_address(uri)
    try:
        filesystem, path = fsspec.core.url_to_fs(uri)
    except (ImportError, ValueError) as error:
        scheme = uri.split("://", 1)[0]
        raise ConfigError(
            f"{uri}: {error}", f"install the fsspec package for {scheme}:// or use local files"
        ) from error
    return filesystem, str(path)
