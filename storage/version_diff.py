"""What changed from one dataset version to another: which clips, and in which field, from what to what.

Shards that are the same file in both are passed over; of the others the digests are compared first, and values are read
for what changed.
"""

from __future__ import annotations

import filecmp
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from storage.schema import SCHEMAS, light
from storage.shards import iter_tables, read_rows, shard_paths
from storage.version_digests import DIGEST, NULL, PLACE, Columns, digest_table
from storage.version_index import INDEX, KEY, cells_of, read_index


@dataclass(frozen=True)
class Diff:
    """What changed from version `a` to `b`.

    added, removed: keys that came and went. changed: the fields that changed, by key. values: (before, after) of those
    that are one value, by key and field; lists, pictures and sound are only known to have changed. names: what a key
    is called by people: file and time range.
    """

    a: str
    b: str
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changed: dict[str, list[str]] = field(default_factory=dict)
    values: dict[str, dict[str, tuple[Any, Any]]] = field(default_factory=dict)
    kinds: dict[str, dict[str, str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, int]:
        """How many rows changed in each field."""
        totals: dict[str, int] = {}
        for names in self.changed.values():
            for name in names:
                totals[name] = totals.get(name, 0) + 1
        return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))


def compare(a: Path, b: Path) -> dict[str, Any]:
    """The parts of a `Diff` from version folder `a` to `b`, both with their files."""
    schema = _schema(b)
    columns = Columns.of(schema)
    shards_a, shards_b = _different(a, b)
    first, second = dict(_cells(shards_a, columns)), dict(_cells(shards_b, columns))
    added = sorted(second.keys() - first.keys())
    removed = sorted(first.keys() - second.keys())
    changed: dict[str, list[str]] = {}
    kinds: dict[str, dict[str, str]] = {}
    single = [one.name for one in light(columns.schema) if not pa.types.is_nested(one.type)]
    for key in sorted(first.keys() & second.keys()):
        before, after = first[key], second[key]
        if before != after:
            kind = dict(_kinds(before, after, columns.names))
            changed[key] = sorted(kind)
            kinds[key] = {name: what for name, what in sorted(kind.items()) if name not in single}
    wanted = {key: set(names) & set(single) for key, names in changed.items()}
    old = _values(shards_a, columns.key, single, wanted.keys() | set(removed))
    new = _values(shards_b, columns.key, single, wanted.keys() | set(added))
    values: dict[str, dict[str, tuple[Any, Any]]] = {}
    names: dict[str, str] = {}
    for key, row in old:
        names[key] = readable(row, key)
        if key in wanted:
            values[key] = {name: (row[name], None) for name in sorted(wanted[key])}
    for key, row in new:
        names[key] = readable(row, key)
        if key in wanted:
            values[key] = {name: (before, row[name]) for name, (before, _) in values[key].items()}
    values = {key: fields for key, fields in values.items() if fields}
    kinds = {key: fields for key, fields in kinds.items() if fields}
    return {
        "added": added, "removed": removed, "changed": changed, "values": values, "kinds": kinds, "names": names
    }  # fmt: skip


def _kinds(before: bytes, after: bytes, names: list[str]) -> Iterator[tuple[str, str]]:
    for at, name in enumerate(names):
        old, new = (cells[at * DIGEST : (at + 1) * DIGEST] for cells in (before, after))
        if old != new:
            yield name, "new" if old == NULL else "gone" if new == NULL else "changed"


def readable(row: Mapping[str, Any], key: str) -> str:
    """What people call a clip: ``interview.mp4 12.4–15.0 s``."""
    name = os.path.basename(str(row.get("source_uri") or row.get("uri") or "")) or key
    if row.get("start_s") is None or row.get("end_s") is None:
        return name
    return f"{name} {row['start_s']:.2f}–{row['end_s']:.2f} s"


def _schema(folder: Path) -> pa.Schema:
    table = next(iter_tables(folder), None)
    known = ((table.schema.metadata if table is not None else None) or {}).get(b"table", b"clips").decode()
    return SCHEMAS[known]


def _different(a: Path, b: Path) -> tuple[list[Path], list[Path]]:
    """The shards of each that the other does not have just so."""
    shards_a, shards_b = shard_paths(a), shard_paths(b)
    same = {
        path.name for path in shards_a
        if all((folder / INDEX / path.name).is_file() for folder in (a, b)) and _same(a, b, f"{INDEX}/{path.name}")
    }  # fmt: skip
    return [path for path in shards_a if path.name not in same], [path for path in shards_b if path.name not in same]


def _same(a: Path, b: Path, name: str) -> bool:
    return os.path.samefile(a / name, b / name) or filecmp.cmp(a / name, b / name, shallow=False)


def _cells(shards: list[Path], columns: Columns) -> Iterator[tuple[str, bytes]]:
    """Key and digests of the rows of shards; those of versions that have no index are made from the rows."""
    for path in shards:
        index = path.parent / INDEX / path.name
        if index.is_file():
            table = read_index(index)
            yield from zip(table.column(KEY).to_pylist(), cells_of(table, columns), strict=True)
            continue
        for rows in iter_tables([path]):
            whole = columns.complete(rows)
            yield from zip(rows.column(columns.key).to_pylist(), digest_table(whole, columns)[0], strict=True)


def _values(
    shards: list[Path], key: str, columns: list[str], wanted: Collection[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    if shards and wanted:
        for row in read_rows(shards, [*columns, PLACE]):
            if row[key] in wanted:
                yield row[key], row
