"""A root put where it outlives its disk, while others work on it; `storage.restore` brings it back.

What is kept is as it was at one moment, part by part: a table of the catalog at the version that it had, the registry
and each dataset under their locks. What the rows name never changes (files of tables, models, versions), so it is
sent after the lock is given back. A backup costs what is new since the one before.
"""

from __future__ import annotations

import datetime
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storage.atomic import FileLock
from storage.backup_store import Store
from storage.catalog import Catalog
from storage.errors import DubwrightError, UsageError
from storage.ids import code_revision, content_id
from storage.layout import Root
from storage.mirror import bring
from storage.schema import SCHEMAS
from storage.version_refs import locked, read_refs

ALWAYS = ("catalog", "models", "datasets", "runs", "consent")
EXTRA = ("renders", "keys", "packs")
"""Only when asked for: large (renders, packs), or secret (the keys that sign outputs)."""
_LOCK_S = 600.0
_MANIFESTS = "_versions"
_HINT = "latest_version_hint.json"


@dataclass
class Backup:
    """One backup. name: of it. files, bytes: that it holds; sent_files, sent_bytes: that were not there yet.
    left_out: versions whose files could not be had, each with the reason. dropped: older backups removed."""

    name: str
    files: int
    bytes: int
    sent_files: int
    sent_bytes: int
    left_out: list[str] = field(default_factory=list)
    dropped: int = 0


def backup(root: Root, place: str, extra: Collection[str] = (), keep: int | None = None) -> Backup:
    """Back a root up into `place`.

    Args:
        extra: parts of EXTRA to take as well.
        keep: remove all but so many backups afterwards.

    Raises:
        UsageError: no such part, or `place` lies within the root.
        LockHeld: another backup into this place is under way.
    """
    unknown = sorted(set(extra) - set(EXTRA))
    if unknown:
        raise UsageError(f"there is no part {', '.join(unknown)}", f"with: {', '.join(EXTRA)}")
    if "://" not in place and Path(place).expanduser().resolve().is_relative_to(root.local.resolve()):
        raise UsageError(f"{place} lies within the root that is backed up", "name a place on another disk")
    store = Store(place)
    bring(root)
    with store.lease(), tempfile.TemporaryDirectory(prefix="backup-", dir=_scratch(root)) as aside:
        taking = _Taking(root, store, Path(aside))
        taking.all(extra)
        made = datetime.datetime.now(datetime.UTC)
        held = {
            "format": 1, "root": root.uri, "made": made.isoformat(timespec="seconds"), "code_revision": code_revision(),
            "parts": [*ALWAYS, *extra], "files": taking.files, "tables": taking.tables,
        }  # fmt: skip
        name = f"{made:%Y%m%d-%H%M%S-%f}-{content_id(taking.files)[:8]}"  # names sort by time
        store.write(name, held)
        dropped = store.keep(keep) if keep else 0
    total = sum(entry["bytes"] for entry in taking.files.values())
    return Backup(name, len(taking.files), total, taking.sent_files, taking.sent_bytes, taking.left_out, dropped)


def _scratch(root: Root) -> Path:
    root.cache.mkdir(parents=True, exist_ok=True)
    return root.cache


class _Taking:
    """A backup being made: what it holds by now."""

    def __init__(self, root: Root, store: Store, aside: Path) -> None:
        self._root, self._store, self._aside = root, store, aside
        self.files: dict[str, dict[str, Any]] = {}
        self.tables: dict[str, dict[str, int]] = {}
        self.left_out: list[str] = []
        self.sent_files = self.sent_bytes = 0

    def all(self, extra: Collection[str]) -> None:
        """Every part, those that others name last: a row of the catalog never names a model that is not in."""
        for table in SCHEMAS:
            self._table(table)
        self._datasets()
        self._models()
        self._file(self._root.local / "consent.csv")
        self._file(self._root.renders / "ledger.jsonl")
        for part in ("runs", *extra):
            for file in _files(self._root.local / part):
                self._file(file)

    def _file(self, file: Path, content: Path | None = None) -> None:
        """Take a file, or `content` in its name; one that is gone was not meant to stay."""
        with suppress(FileNotFoundError):
            source = content or file
            mode = source.stat().st_mode & 0o777
            sha256, size, sent = self._store.put(source)
            self.sent_files += sent
            self.sent_bytes += size if sent else 0
            name = file.relative_to(self._root.local).as_posix()
            self.files[name] = {"sha256": sha256, "bytes": size, "mode": mode}

    def _table(self, table: str) -> None:
        folder = self._root.catalog / f"{table}.lance"
        if not folder.is_dir():
            return
        # Rows may be written meanwhile; nobody tidies, so that no file of this version or of a tagged one goes.
        with FileLock(self._root.catalog / f".{table}.indexes.lock", _LOCK_S):
            catalog = Catalog(self._root)
            version = catalog.version(table)
            self.tables[table] = {
                "version": version,
                "rows": sum(b.num_rows for b in catalog.batches(table, at=version)),
            }
            for file in _files(folder):
                if file.name != _HINT and not (file.parent.name == _MANIFESTS and _version_of(file) > version):
                    self._file(file)

    def _models(self) -> None:
        folder = self._root.models
        with FileLock(folder / ".lock", _LOCK_S):
            records = self._copied([*folder.glob("*.json"), *(folder / "champions").glob("*.json")])
        for record in records:
            for file in _files(folder / record.stem) if record.parent == folder else ():
                self._file(file)
        for record, copy in records.items():
            self._file(record, copy)

    def _datasets(self) -> None:
        from storage.versions import make_whole

        for refs in sorted(self._root.datasets.glob("*/refs.json")):
            folder = refs.parent
            with locked(folder):
                records = self._copied(path for path in folder.iterdir() if path.is_file())
                for version in read_refs(folder)["history"]:
                    try:
                        make_whole(self._root, folder / version)
                    except DubwrightError as error:
                        self.left_out.append(f"{folder.name}@{version}: {error.message}")
                        continue
                    for file in _files(folder / version):
                        self._file(file)
            for record, copy in records.items():
                self._file(record, copy)

    def _copied(self, paths: Any) -> dict[Path, Path]:
        """Small files as they are now, for when their lock is given back: path → copy."""
        copies = {}
        for number, path in enumerate(sorted(path for path in paths if not path.name.startswith("."))):
            copies[path] = self._aside / f"{len(self.files)}-{number}-{path.name}"
            shutil.copy2(path, copies[path])
        return copies


def _files(folder: Path) -> Iterator[Path]:
    """Files below a folder, without locks, links and what is being written."""
    for path in sorted(folder.rglob("*")):
        hidden = path.name.startswith(".") or path.name.endswith((".partial", ".lock"))
        if not hidden and not path.is_symlink() and path.is_file():
            yield path


def _version_of(manifest: Path) -> int:
    """Version of a table that a manifest of Lance's describes; newer forms count down from 2^64 - 1."""
    number = int(manifest.stem) if manifest.stem.isdigit() else 0
    return (1 << 64) - 1 - number if len(manifest.stem) == 20 else number
