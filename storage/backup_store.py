"""Where backups lie: a folder or any place that fsspec knows. Each content is kept once, however many backups have it.

objects/ab/abcd…      the bytes of files, named by their SHA-256
backups/NAME.json     what a backup holds: path → sha256, bytes; written last, so that a broken one is none
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec

from storage.errors import ConfigError, InputFailed, NotFound
from storage.lease import Lease

_CHUNK = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}")


class Store:
    """A place for backups.

    Args:
        place: a path or an fsspec URI.

    Raises:
        ConfigError: no such kind of store.
    """

    def __init__(self, place: str) -> None:
        self.place = place.rstrip("/")
        try:
            self._filesystem, base = fsspec.core.url_to_fs(os.path.expanduser(self.place))
        except (ImportError, ValueError) as error:
            scheme = place.split("://", 1)[0]
            raise ConfigError(f"{place}: {error}", f"install the fsspec package for {scheme}://") from error
        self._base = str(base).rstrip("/")

    def lease(self) -> Lease:
        """One backup at a time."""
        self._filesystem.makedirs(self._base, exist_ok=True)
        return Lease(self._filesystem, f"{self._base}/.lease")

    def names(self) -> list[str]:
        """The backups that are whole, oldest first."""
        self._filesystem.invalidate_cache()
        try:
            found = self._filesystem.ls(f"{self._base}/backups", detail=False)
        except FileNotFoundError:
            return []
        return sorted(Path(name).stem for name in found if name.endswith(".json"))

    def read(self, name: str | None = None) -> dict[str, Any]:
        """What a backup holds; the newest, if none is named.

        Raises:
            NotFound: there is none.
            InputFailed: it cannot be read.
        """
        names = self.names()
        if not names or (name is not None and name not in names):
            known = f"known: {', '.join(names[-5:])}" if names else "make one with `dubwright backup`"
            raise NotFound(f"{self.place} holds no backup{'' if name is None else f' {name}'}", known)
        chosen = name or names[-1]
        try:
            held: dict[str, Any] = json.loads(self._filesystem.cat_file(f"{self._base}/backups/{chosen}.json"))
            if held["format"] != 1 or not isinstance(held["files"], dict):
                raise ValueError("another format")
        except (ValueError, KeyError, TypeError) as error:
            raise InputFailed(f"{self.place}: {chosen}", f"cannot be read: {error}", stage="restore") from error
        return {**held, "name": chosen}

    def write(self, name: str, held: dict[str, Any]) -> None:
        """Add a backup all of whose contents are there."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name a backup")
        self._put_bytes(f"backups/{name}.json", json.dumps(held, indent=1, sort_keys=True).encode())

    def has(self, sha256: str, size: int) -> bool:
        """Whether a content of this hash and size is there."""
        return self._sizes.get(sha256) == size

    def put(self, file: Path) -> tuple[str, int, bool]:
        """(sha256, bytes, whether it was sent) of a file, which is there then, even if somebody writes to it meanwhile:
        the bytes that were read are those that are kept.

        Raises:
            FileNotFoundError: it is gone.
        """
        sha256, size = digest_of(file)
        if self.has(sha256, size):
            return sha256, size, False
        for _ in range(3):
            target = self._target(sha256)
            self._put_file(file, target)
            again, now = digest_of(file)
            if (again, now) == (sha256, size):
                self._sizes[sha256] = size
                return sha256, size, True
            self._filesystem.rm_file(f"{self._base}/{target}")
            sha256, size = again, now
        raise InputFailed(os.fspath(file), "changes faster than it can be read", "try again", stage="backup")

    def get(self, sha256: str, size: int, target: Path) -> None:
        """Bring a content to `target`.

        Raises:
            InputFailed: it is missing, or not what it was.
        """
        place = f"{self.place}/{self._target(sha256)}"
        try:
            self._filesystem.get_file(f"{self._base}/{self._target(sha256)}", str(target))
        except FileNotFoundError as error:
            raise InputFailed(place, "is missing from the backup", _OLDER, stage="restore") from error
        if digest_of(target) != (sha256, size):
            raise InputFailed(place, "is not what was backed up", _OLDER, stage="restore", error_type="Changed")

    def keep(self, newest: int) -> int:
        """Remove all but the newest backups, and what only the others held; returns how many backups went."""
        names = self.names()
        old = names[:-newest]
        for name in old:
            self._filesystem.rm_file(f"{self._base}/backups/{name}.json")
        if old:
            held = {entry["sha256"] for name in names[-newest:] for entry in self.read(name)["files"].values()}
            for sha256 in set(self._sizes) - held:
                with contextlib.suppress(FileNotFoundError):
                    self._filesystem.rm_file(f"{self._base}/{self._target(sha256)}")
        return len(old)

    @cached_property
    def _sizes(self) -> dict[str, int]:
        self._filesystem.invalidate_cache()
        try:
            found = self._filesystem.find(f"{self._base}/objects", detail=True)
        except FileNotFoundError:
            return {}
        sizes = {str(name).rsplit("/", 1)[-1]: int(info["size"]) for name, info in found.items()}
        return {name: size for name, size in sizes.items() if _SHA256.fullmatch(name)}

    def _target(self, sha256: str) -> str:
        if not _SHA256.fullmatch(sha256):
            raise InputFailed(self.place, f"{sha256!r} is no hash", _OLDER, stage="restore")
        return f"objects/{sha256[:2]}/{sha256}"

    def _put_file(self, file: Path, target: str) -> None:
        # On a disk a file that is being written has its name already: it gets another one until it is whole.
        final = f"{self._base}/{target}"
        self._filesystem.makedirs(final.rsplit("/", 1)[0], exist_ok=True)
        if not self._is_disk:
            self._filesystem.put_file(str(file), final)
            return
        aside = f"{final}.{secrets.token_hex(4)}.partial"
        try:
            self._filesystem.put_file(str(file), aside)
            os.replace(aside, final)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(aside)

    def _put_bytes(self, target: str, data: bytes) -> None:
        final = f"{self._base}/{target}"
        self._filesystem.makedirs(final.rsplit("/", 1)[0], exist_ok=True)
        aside = f"{final}.partial" if self._is_disk else final
        self._filesystem.pipe_file(aside, data)
        if self._is_disk:
            os.replace(aside, final)

    @property
    def _is_disk(self) -> bool:
        return type(self._filesystem).__name__ == "LocalFileSystem"


_OLDER = "restore an older backup with --at NAME, and make a new one"


def digest_of(file: Path) -> tuple[str, int]:
    """SHA-256 of what a file holds now, and how much that is; never remembered: a disk that spoils files is noticed."""
    digest, size = hashlib.sha256(), 0
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size
