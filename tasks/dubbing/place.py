"""Where the parts of one dub lie while it is made, and who is at work on them."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from storage.atomic import FileLock
from storage.errors import LockHeld
from storage.layout import Root


class Busy(Exception):
    """Another worker is at this very work now."""


class Place:
    """The folder of a render under the root's cache. Locks lie beside it: they outlive it.

    Args:
        key: render_id.
    """

    def __init__(self, root: Root, key: str) -> None:
        self._cache = root.cache
        self.key = key
        self.folder = root.cache / "dubs" / key

    @property
    def plan(self) -> Path:
        """Written last: where it is, the pictures that it speaks of are, too."""
        return self.folder / "plan" / "segments.npz"

    def output(self, suffix: str) -> Path:
        """The finished file until it is judged."""
        return self.folder / f"output{suffix}"

    def look(self, look_key: str) -> Path:
        """The analysis, which all dubs of a video share."""
        return self._cache / "looks" / f"{look_key}.npz"

    def stretch(self, name: str) -> Path:
        return self.folder / name

    @contextlib.contextmanager
    def claimed(self, work: str) -> Iterator[None]:
        """Holds the right to do `work`; the kernel takes it back from a worker that dies.

        Raises:
            Busy: somebody else is doing it.
        """
        lock = FileLock(self._cache / "locks" / f"{work}.lock", 0)
        try:
            lock.__enter__()
        except LockHeld as error:
            raise Busy(work) from error
        try:
            yield
        finally:
            lock.__exit__(None, None, None)

    def clear(self) -> None:
        """The dub is written down as finished: its parts and locks go; the look stays, for the next language."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for lock in (self._cache / "locks").glob(f"{self.key}-*.lock"):
            lock.unlink(missing_ok=True)
