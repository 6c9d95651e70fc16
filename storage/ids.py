"""Identity by content: ids are hashes of what a thing was made from, never of what it is called.

The same bytes, parameters and versions give the same id on every machine, so that a rerun finds what is done.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import hashlib
import os
import stat
import struct
import subprocess
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

_ID_BYTES = 10  # 80 bits: a collision among a billion clips has odds of about one in two million
_CHUNK = 1 << 20


def content_id(*parts: Any) -> str:
    """Hash of `parts`, 20 hex digits (blake2b, 80 bits).

    Parts may be None, bool, int, float, str, bytes, numpy arrays and scalars, dataclasses, and lists, tuples and
    mappings of these. Every value goes in with its type and length, so ``("ab", "c")`` and ``("a", "bc")`` differ, as
    do ``1``, ``1.0``, ``True`` and ``"1"``; the order of a mapping's keys does not matter.

    Raises:
        TypeError: for a value without a stable content, a path for example (hash the file with `file_sha256`).
    """
    digest = hashlib.blake2b(digest_size=_ID_BYTES)
    _feed(digest, parts)
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        digest.update(b"n")
    elif isinstance(value, bool):
        digest.update(b"b1" if value else b"b0")
    elif isinstance(value, int):
        _feed_bytes(digest, b"i", str(int(value)).encode())
    elif isinstance(value, float):
        # -0.0 equals 0.0 in every comparison that led here; and every NaN is the same missing value.
        value = 0.0 if value == 0 else value
        digest.update(b"f" + struct.pack(">d", float("nan") if value != value else value))
    elif isinstance(value, str):
        _feed_bytes(digest, b"s", value.encode("utf-8", "surrogatepass"))
    elif isinstance(value, (bytes, bytearray, memoryview)):
        _feed_bytes(digest, b"y", bytes(value))
    elif isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError("content_id cannot hash an array of objects")
        little = value.astype(value.dtype.newbyteorder("<"), copy=False)
        _feed_bytes(digest, b"a", f"{little.dtype.str}{value.shape}".encode())
        digest.update(np.ascontiguousarray(little).tobytes())
    elif isinstance(value, (list, tuple)):
        digest.update(b"l" + struct.pack(">Q", len(value)))
        for item in value:
            _feed(digest, item)
    elif isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("content_id hashes mappings with string keys only")
        digest.update(b"d" + struct.pack(">Q", len(value)))
        for key in sorted(value):
            _feed(digest, key)
            _feed(digest, value[key])
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        _feed(digest, type(value).__name__)
        _feed(digest, {field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    else:
        raise TypeError(f"content_id cannot hash a {type(value).__name__}: it has no stable content")


def _feed_bytes(digest: Any, tag: bytes, data: bytes) -> None:
    digest.update(tag + struct.pack(">Q", len(data)))
    digest.update(data)


_known_digests: dict[tuple[Any, ...], str] = {}


def file_sha256(path: str | os.PathLike[str], cache: Path | None = None) -> str:
    """SHA-256 of a file's bytes, 64 hex digits, remembered as by `remembered`."""
    return remembered(path, "sha256", _sha256, cache)


def remembered(
    path: str | os.PathLike[str], kind: str, digest_of: Callable[[Path], str], cache: Path | None = None
) -> str:
    """`digest_of(path)`, computed once for the same file.

    Remembered by device, inode, size, mtime and ctime: in this process, and across processes where `cache` (a
    directory) is given, so that a library of large videos is read once. A file touched within the last two seconds is
    not remembered, because a second write could leave all five unchanged.

    Args:
        kind: name of what is computed.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    file = Path(path)
    try:
        if not stat.S_ISREG(os.stat(file).st_mode) and not file.is_dir():  # a device never ends, a pipe never begins
            raise OSError(errno.EINVAL, "is no regular file", str(file))
    except ValueError as error:
        raise OSError(errno.EINVAL, f"is no name of a file ({error})", str(file)) from error
    before = _fingerprint(file)
    if (kind, *before) in _known_digests:
        return _known_digests[kind, *before]
    note = cache / content_id(kind, list(before)) if cache is not None else None
    if note is not None and note.is_file():
        known = note.read_text().strip()
        if len(known) >= 2 * _ID_BYTES:
            _known_digests[kind, *before] = known
            return known
    value = digest_of(file)
    settled = time.time_ns() - max(before[3], before[4]) > 2_000_000_000
    if settled and _fingerprint(file) == before:
        _known_digests[kind, *before] = value
        if note is not None:
            note.parent.mkdir(parents=True, exist_ok=True)
            aside = note.with_name(f"{note.name}.{os.getpid()}.partial")
            aside.write_text(value)
            aside.replace(note)
    return value


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _fingerprint(file: Path) -> tuple[int, ...]:
    found = file.stat()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@functools.cache
def code_revision() -> str:
    """The revision of the code that runs: a git commit (12 digits, ``+`` when files differ from it) in a checkout,
    else the installed version, ``v0.1.0``. ``DUBWRIGHT_CODE_REVISION`` overrides both (images, remote workers)."""
    forced = os.environ.get("DUBWRIGHT_CODE_REVISION")
    if forced:
        return forced
    project = Path(__file__).resolve().parent.parent
    if (project / ".git").exists():
        try:
            commit = _git(project, "rev-parse", "--short=12", "HEAD").strip()
            changed = _git(project, "status", "--porcelain", "--untracked-files=no").strip()
            return commit + ("+" if changed else "")
        except (OSError, subprocess.SubprocessError):
            pass
    try:
        return "v" + metadata.version("dubwright")
    except metadata.PackageNotFoundError:
        return "unknown"


def _git(project: Path, *arguments: str) -> str:
    command = ["git", "-C", str(project), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout
