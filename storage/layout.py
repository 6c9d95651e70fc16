"""Where data lives: one root with a fixed inside.

    datasets/NAME/VERSION/   immutable shards, DVC-tracked      models/ID/      one folder per model
    renders/                 dubbed files                       runs/RUN_ID/    ledger, report, logs of one run
    catalog/                 LanceDB tables                     cache/          may be deleted at any time

A root is a local path or an fsspec URI (``s3://bucket/prefix``). Encoders, LanceDB and DVC want real files, so a remote
root is worked on in a local mirror, and `push` and `pull` move finished things between the two; on a local root both do
nothing.
"""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import Any

from storage.errors import ConfigError


class Root:
    """The data root. `local` is the directory to work in: the root itself, or the mirror of a remote one.

    Args:
        root: a path, a ``file://`` URI, or any URI that fsspec knows.
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
        from storage.atomic import written_aside

        filesystem, base = self._remote
        remote = f"{base}/{target.relative_to(self.local).as_posix()}"
        for found in filesystem.find(remote):
            place = self.local / found[len(filesystem._strip_protocol(base)) :].lstrip("/")
            if not place.exists():
                with written_aside(place) as partial:
                    filesystem.get_file(found, str(partial))
        return target
