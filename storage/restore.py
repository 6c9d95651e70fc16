"""A root brought back from a backup: every file by its hash, then the tables counted and the models verified."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from storage.atomic import write_json, written_aside
from storage.backup_store import Store, digest_of
from storage.catalog import Catalog
from storage.errors import InputFailed, UsageError
from storage.layout import Root
from storage.mirror import publish
from storage.registry import Registry

MARK = ".restoring.json"
_TOP = {"catalog", "models", "datasets", "runs", "renders", "keys", "packs", "consent.csv"}
_LAST = ("refs.json", "ledger.jsonl")


@dataclass(frozen=True)
class Restored:
    """What came back. name: of the backup, made: when it was made. files, bytes: written. rows: of each table. models:
    verified."""

    name: str
    made: str
    files: int
    bytes: int
    rows: dict[str, int]
    models: int


def restore(place: str, root: Root, name: str | None = None) -> Restored:
    """Write a backup into an empty root. One that was interrupted goes on when it is called again.

    Args:
        place: where backups lie, a path or an fsspec URI.
        name: of the backup; default: the newest.

    Raises:
        UsageError: the root holds something.
        NotFound: there is no such backup.
        InputFailed: the backup is damaged, or names a file outside the root.
    """
    store = Store(place)
    held = store.read(name)
    files = {checked(path): entry for path, entry in held["files"].items()}
    _empty_or_begun(root, held["name"])
    root.create()
    write_json(root.local / MARK, {"backup": held["name"]})
    for path in sorted(files, key=_rank):
        _bring(store, root.local / path, files[path])
    rows = _counted(root, held)
    models = Registry(root).models()
    for model in models:
        Registry(root).verify(model["model_id"])
    if not root.is_local:
        for folder in (root.datasets, root.models, root.runs):
            root.push(folder)
        publish(root)
    (root.local / MARK).unlink()
    return Restored(
        held["name"], str(held["made"]), len(files), sum(int(e["bytes"]) for e in files.values()), rows, len(models)
    )


def checked(path: str) -> str:
    """A path of a backup, if it is one within a root's own folders: a backup may come from anywhere.

    Raises:
        InputFailed: it is not.
    """
    parts = PurePosixPath(path).parts
    if (
        not parts or parts[0] not in _TOP or ".." in parts or "\\" in path or "\0" in path
        or any(part.startswith(".") for part in parts) or "/".join(parts) != path
    ):  # fmt: skip
        raise InputFailed(repr(path), "is no place within a root", "do not use this backup", stage="restore")
    return path


def _bring(store: Store, target: Path, entry: Mapping[str, Any]) -> None:
    if target.is_file() and not target.is_symlink() and digest_of(target) == (entry["sha256"], entry["bytes"]):
        return
    for folder in target.parents:
        if folder.is_symlink():
            raise UsageError(f"{folder} is a link", "restore into a plain folder")
    with written_aside(target) as partial:
        partial.touch(mode=0o600)  # a key is never readable by others, not for a moment
        store.get(str(entry["sha256"]), int(entry["bytes"]), partial)
        partial.chmod(int(entry.get("mode", 0o644)) & 0o777)


def _empty_or_begun(root: Root, name: str) -> None:
    mark = root.local / MARK
    with contextlib.suppress(FileNotFoundError, ValueError):
        if json.loads(mark.read_text())["backup"] == name:
            return
    there = [part for part in sorted(_TOP) if _holds(root.local / part)]
    if there:
        raise UsageError(
            f"{root} is not empty: it has {', '.join(there)}", "restore into another --root, or move these away"
        )


def _holds(path: Path) -> bool:
    return path.is_file() or any(file.is_file() and not file.name.startswith(".") for file in path.rglob("*"))


def _counted(root: Root, held: Mapping[str, Any]) -> dict[str, int]:
    rows = {}
    for table, facts in held["tables"].items():
        rows[table] = Catalog(root).count(table)
        if rows[table] != facts["rows"]:
            raise InputFailed(
                f"{root.catalog / table}", f"has {rows[table]} rows, the backup {facts['rows']}", stage="restore"
            )
    return rows


def _rank(path: str) -> tuple[bool, str]:
    """What others name comes first, pointers last."""
    return ("/_versions/" in path or "champions/" in path or path.endswith(_LAST)), path
