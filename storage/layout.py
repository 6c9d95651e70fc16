"""Where data lives: one root with a fixed inside.

    datasets/NAME/VERSION/   immutable shards, DVC-tracked      models/ID/      one folder per model
    renders/                 dubbed files                       runs/RUN_ID/    ledger, report, logs of one run
    catalog/                 LanceDB tables                     cache/          may be deleted at any time

A root is a local path or an fsspec URI (``s3://bucket/prefix``). Encoders, LanceDB and DVC want real files, so a remote
root is worked on in a local mirror, and `push` and `pull` move finished things between the two; on a local root both do
nothing. `storage.mirror` keeps in step what changes. Rows of renders name the files in the mirror, so on machines that
share a remote root it lies at the same path: the default does for one user, DUBWRIGHT_MIRROR names another.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from storage.addresses import check_address
from storage.errors import ConfigError, InputFailed


class Root:
    """The data root. `local` is the directory to work in: the root itself, or the mirror of a remote one.

    Args:
        root: a path, a ``file://`` URI, or an address in an object store (`storage.addresses`).

    Raises:
        UsageError, ConfigError: an address that is not followed.
    """

    def __init__(self, root: str | os.PathLike[str] | Root = "data") -> None:
        text: str = root.uri if isinstance(root, Root) else os.fspath(root)
        if text.startswith("file://"):
            text = text.removeprefix("file://")
        self.uri: str
        self.is_local = "://" not in text
        if self.is_local:
            self.local = Path(text).expanduser().absolute()
            self.uri = str(self.local)
        else:
            check_address(text)
            self.uri = text.rstrip("/")
            mirrors = os.environ.get("DUBWRIGHT_MIRROR") or Path.home() / ".cache" / "dubwright"
            self.local = Path(mirrors) / hashlib.sha256(self.uri.encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"Root({self.uri!r})"

    def __str__(self) -> str:
        return self.uri

    @property
    def datasets(self) -> Path:
        return self.local / "datasets"

    @property
    def models(self) -> Path:
        return self.local / "models"

    @property
    def renders(self) -> Path:
        return self.local / "renders"

    @property
    def runs(self) -> Path:
        return self.local / "runs"

    @property
    def catalog(self) -> Path:
        return self.local / "catalog"

    @property
    def cache(self) -> Path:
        return self.local / "cache"

    def create(self) -> Root:
        """Make the directories.

        Raises:
            ConfigError: the root cannot be written to.
        """
        for folder in (self.datasets, self.models, self.renders, self.runs, self.catalog, self.cache):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigError(f"{folder}: cannot be created ({error.strerror})", "choose another --root") from error
        return self

    def relative(self, path: str | os.PathLike[str]) -> str:
        """`path` as seen from the root where it lies inside (rows stay true when the root moves), else absolute."""
        absolute = Path(path).absolute()
        return str(absolute.relative_to(self.local)) if absolute.is_relative_to(self.local) else str(absolute)

    def resolve(self, path: str) -> Path:
        """The local file for a path from a row, the inverse of `relative`."""
        return self.local / path

    @cached_property
    def _remote(self) -> tuple[Any, str]:
        import fsspec

        try:
            return fsspec.core.url_to_fs(self.uri)
        except (ImportError, ValueError) as error:
            scheme = self.uri.split("://", 1)[0]
            raise ConfigError(
                f"{self.uri}: {error}", f"install the fsspec package for {scheme}:// or use a local --root"
            ) from error

    def remote(self) -> tuple[Any, str]:
        """The store of a remote root, as fsspec's file system, and the path of the root in it.

        Raises:
            ConfigError: no such kind of store.
        """
        return self._remote

    @contextmanager
    def lease(self, name: str, patience_s: float = 600.0) -> Iterator[None]:
        """One machine at a time on a remote root; on a local one its files' own locks do.

        Raises:
            LockHeld: another machine has held it for so long.
        """
        if self.is_local:
            yield
            return
        from storage.lease import Lease

        filesystem, base = self._remote
        with Lease(filesystem, f"{base}/.leases/{name}", patience_s):
            yield

    def renew(self, path: str | os.PathLike[str]) -> None:
        """Bring a file of the remote root that may have changed there; one that the store lacks stays as it is."""
        if self.is_local:
            return
        from storage.atomic import written_aside

        filesystem, base = self._remote
        target = Path(path)
        remote = f"{base}/{target.relative_to(self.local).as_posix()}"
        filesystem.invalidate_cache()
        if filesystem.exists(remote):
            with written_aside(target) as partial:
                filesystem.get_file(remote, str(partial))

    def push(self, path: str | os.PathLike[str]) -> None:
        """Copy a finished file or directory of the mirror to the remote root."""
        if self.is_local:
            return
        filesystem, base = self._remote
        source = Path(path)
        for file in sorted(source.rglob("*")) if source.is_dir() else [source]:
            if file.is_file() and not file.name.endswith(".partial"):
                remote = f"{base}/{file.relative_to(self.local).as_posix()}"
                filesystem.makedirs(remote.rsplit("/", 1)[0], exist_ok=True)
                filesystem.put_file(str(file), remote)

    def pull(self, path: str | os.PathLike[str]) -> Path:
        """Bring a file or directory of the remote root into the mirror where it is missing there; returns its place."""
        target = Path(path)
        if self.is_local:
            return target
        from storage.atomic import directory_written_aside, written_aside

        filesystem, base = self._remote
        filesystem.invalidate_cache()
        remote = f"{base}/{target.relative_to(self.local).as_posix()}"
        below = len(filesystem._strip_protocol(remote)) + 1
        inside = [found for found in filesystem.find(remote) if len(found) > below]
        for place, folder in [(target, self.local), *((target / found[below:], target) for found in inside)]:
            if not is_inside(place, folder):  # a store's keys are any text, ".." too
                raise InputFailed(
                    str(place), f"leads out of {folder}", "take it out of the store, or the link out of the mirror",
                    stage="fetch", error_type="UnsafePath",
                )  # fmt: skip
        if inside and not target.exists():  # whole or not at all: half a folder would be taken for it
            with directory_written_aside(target) as partial:
                for found in inside:
                    place = partial / found[below:]
                    place.parent.mkdir(parents=True, exist_ok=True)
                    filesystem.get_file(found, str(place))
        elif inside:
            for found in inside:
                place = target / found[below:]
                if not place.exists():
                    with written_aside(place) as partial:
                        filesystem.get_file(found, str(partial))
        elif not target.exists() and filesystem.isfile(remote):
            with written_aside(target) as partial:
                filesystem.get_file(remote, str(partial))
        return target

    def pull_records(self, folder: str | os.PathLike[str], suffix: str = ".json") -> None:
        """Bring the files right in a folder of the remote root that end so and are missing here."""
        if self.is_local:
            return
        filesystem, base = self._remote
        filesystem.invalidate_cache()
        place = Path(folder)
        try:
            names = filesystem.ls(f"{base}/{place.relative_to(self.local).as_posix()}", detail=False)
        except FileNotFoundError:
            return
        for name in names:
            if name.endswith(suffix):
                self.pull(place / name.rsplit("/", 1)[-1])


def is_inside(place: Path, folder: Path) -> bool:
    """Whether a file lies within a folder, whatever dots and links are on its way."""
    return place.resolve().is_relative_to(folder.resolve())
