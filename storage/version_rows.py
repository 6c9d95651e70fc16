"""The files of a dataset version: gathered from rows in any order and sharding, written the same every time.

    VERSION/part-BITS.parquet           light columns of the rows whose place begins with BITS (`version_places`)
    VERSION/picture/part-BITS.parquet   heavy columns of the same rows in the same order, a folder for each family
    VERSION/sound/part-BITS.parquet
    VERSION/index/part-BITS.parquet     their keys, sources, sizes, and a digest of every value

A file that the version before has just so is linked, not written. Memory holds one shard and about 200 bytes a row.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.ids import content_id
from storage.schema_fields import FAMILIES
from storage.shards import iter_tables, read_places, shard_paths, write_table
from storage.version_digests import PLACE, Columns, digest_table, row_digest, with_changes
from storage.version_index import (
    FACTS,
    INDEX,
    cells_of,
    index_beside,
    make_index,
    read_index,
    same_columns,
)
from storage.version_places import Entry, place_of, shards_of

_CELLS = "__cells"


class Gathering:
    """The rows of a version to be: put aside as they come, of several with one key the last.

    Args:
        schema: one of `storage.schema`.
        scratch: a file for what is put aside; it takes as much room as the rows, and is removed on leaving.
    """

    def __init__(self, schema: pa.Schema, scratch: Path) -> None:
        self.columns = Columns.of(schema)
        self.entries: dict[str, Entry] = {}
        self.made_by: Counter[str] = Counter()
        self.places: dict[str, str] = {}
        self._scratch = scratch
        self._changes: Mapping[str, Mapping[str, Any]] = {}
        self._before = Path()
        self._aside = pa.schema([*self.columns.schema, pa.field(_CELLS, pa.binary())])
        self._sink = pa.OSFile(str(scratch), "wb")
        self._writer = pa.ipc.new_file(self._sink, self._aside)
        self._reader: Any = None
        self._count = 0

    def __enter__(self) -> Gathering:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader is None:
            self._writer.close()
            self._sink.close()
        self._reader = None
        self._scratch.unlink(missing_ok=True)

    def add(self, tables: Iterable[pa.Table]) -> None:
        """Take rows; columns that they lack are null."""
        names = self.columns.names
        for given in tables:
            if "config_hash" in given.column_names:
                self.made_by.update(value for value in given.column("config_hash").to_pylist() if value)
            if {"source_id", PLACE} <= set(given.column_names):
                found = zip(given.column("source_id").to_pylist(), given.column(PLACE).to_pylist(), strict=True)
                self.places.update((source, uri) for source, uri in found if source and uri)
            table = self.columns.complete(_without_places(given))
            cells, sizes = digest_table(table, self.columns)
            keys = table.column(self.columns.key).to_pylist()
            sources, pictures, statuses = (
                table.column(name).to_pylist() if name in names and name != self.columns.key else [""] * len(keys)
                for name in ("source_id", "picture_id", "status")
            )
            whole = table.append_column(_CELLS, pa.array(cells, pa.binary())).combine_chunks()
            for row, key in enumerate(keys):
                group = pictures[row] or sources[row] or ""
                self.entries[key] = Entry(
                    place_of(group, key), key, sources[row] or "", group, sizes[row], row_digest(cells[row], names),
                    statuses[row] or "unknown", ("", self._count),
                )  # fmt: skip
                self._count += 1
                for batch in whole.slice(row, 1).to_batches():
                    self._writer.write_batch(batch)

    def add_version(
        self, folder: Path, without: Collection[str], changes: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        """Take the rows of another version, but not those of the sources in `without`, nor of keys that are there.

        Args:
            folder: the version; nothing but its index is read, unless it was made before versions had one.
            changes: other values of light columns, by key.

        Raises:
            KeyError: a change of a column that there is not, or that is heavy.
        """
        self._changes = changes or {}
        light = {*self.columns.family("")} - {self.columns.key, "source_id"}
        strange = {name for change in self._changes.values() for name in change} - light
        if strange:
            raise KeyError(f"{', '.join(sorted(strange))}: no light column that could be changed by itself")
        if not (folder / INDEX).is_dir():
            self.add(self._old_rows(folder, without))
            return
        self._before = folder
        places = read_places(folder)
        if places is not None:
            found = dict(zip(*(column.to_pylist() for column in places.columns), strict=True))
            self.places = {source: uri for source, uri in found.items() if source not in without} | self.places
        names = self.columns.names
        for path in shard_paths(folder / INDEX):
            index = read_index(path)
            kept = cells_of(index, self.columns)
            facts = (index.column(name).to_pylist() for name in FACTS)
            for row, (key, source, group, size, status) in enumerate(zip(*facts, strict=True)):
                if source in without or key in self.entries:
                    continue
                cells = kept[row]
                if key in self._changes:
                    cells = with_changes(cells, self._changes[key], self.columns)
                    status = self._changes[key].get("status", status)
                self.entries[key] = Entry(
                    place_of(group, key), key, source, group, size, row_digest(cells, names), status, (path.name, row)
                )

    def _old_rows(self, folder: Path, without: Collection[str]) -> Iterator[pa.Table]:
        for table in iter_tables(folder):
            rows = table.select(["source_id", self.columns.key]).to_pylist()
            stay = [
                at for at, row in enumerate(rows)
                if row["source_id"] not in without and row[self.columns.key] not in self.entries
            ]  # fmt: skip
            table = table.take(stay)
            for name in {name for change in self._changes.values() for name in change}:
                values = [
                    self._changes.get(key, {}).get(name, value)
                    for key, value in zip(table.column(self.columns.key).to_pylist(), table.column(name).to_pylist())
                ]
                at = table.column_names.index(name)
                table = table.set_column(at, name, pa.array(values, table.schema.field(name).type))
            yield table

    def finish(self) -> list[Entry]:
        """All rows in the order of the version."""
        self._writer.close()
        self._sink.close()
        self._reader = pa.ipc.open_file(pa.OSFile(str(self._scratch), "rb"))
        return sorted(self.entries.values(), key=lambda entry: (entry.place, entry.key))

    def tables(self, entries: Sequence[Entry]) -> tuple[pa.Table, list[bytes]]:
        """The rows of one shard and the digests of their cells."""
        order: list[int] = []
        pieces: list[pa.Table] = []
        cells: list[bytes] = []
        for file in dict.fromkeys(entry.origin[0] for entry in entries):
            here = [at for at, entry in enumerate(entries) if entry.origin[0] == file]
            numbers = [entries[at].origin[1] for at in here]
            order += here
            if not file:
                table = pa.Table.from_batches([self._reader.get_batch(number) for number in numbers])
                cells += table.column(_CELLS).to_pylist()
                pieces.append(table.select(self.columns.names).cast(self.columns.schema))
                continue
            changes = [self._changes.get(entries[at].key, {}) for at in here]
            known = cells_of(read_index(self._before / INDEX / file), self.columns)
            cells += [with_changes(known[number], change, self.columns) for number, change in zip(numbers, changes)]
            pieces.append(self._changed(self._shard(file).take(numbers), changes))
        back = sorted(range(len(order)), key=order.__getitem__)
        return pa.concat_tables(pieces).take(back), [cells[at] for at in back]

    def untouched(self, entries: Sequence[Entry], count: int, file: str) -> bool:
        """Whether a shard is, row for row, the one of this name and `count` rows in the version before."""
        return count == len(entries) and all(
            entry.origin == (file, number) and entry.key not in self._changes for number, entry in enumerate(entries)
        )

    def _shard(self, file: str) -> pa.Table:
        """All columns of a shard of the version before, those that it lacks null."""
        places = [self._before / family / file for family in ("", *FAMILIES)]
        parts = [pq.read_table(place, partitioning=None) for place in places if place.is_file()]
        there = {name: part.column(name) for part in parts for name in part.column_names}
        return self.columns.complete(pa.table(there))

    def _changed(self, table: pa.Table, changes: list[Mapping[str, Any]]) -> pa.Table:
        for name in sorted({name for change in changes for name in change}):
            values = [
                change.get(name, value) for change, value in zip(changes, table.column(name).to_pylist(), strict=True)
            ]
            at, field = self.columns.names.index(name), self.columns.schema.field(name)
            table = table.set_column(at, field, pa.array(values, field.type))
        return table


def _without_places(table: pa.Table) -> pa.Table:
    """Rows whose reasons call a file by its name alone: where it lay on this machine is no part of a version."""
    if not {"reason", PLACE} <= set(table.column_names):
        return table
    pairs = zip(table.column("reason").to_pylist(), table.column(PLACE).to_pylist(), strict=True)
    reasons = [
        reason.replace(uri, uri.rstrip("/").rpartition("/")[2]) if reason and uri else reason for reason, uri in pairs
    ]
    at = table.column_names.index("reason")
    return table.set_column(at, "reason", pa.array(reasons, pa.string()))


def version_name(entries: Sequence[Entry]) -> str:
    """The version's name, 20 hex digits: a hash of its rows."""
    return content_id("dataset", 2, b"".join(entry.digest for entry in entries))


def write_version(gathering: Gathering, entries: Sequence[Entry], target: Path, like: Path | None) -> dict[str, str]:
    """Write the files of a version into the folder `target`.

    Args:
        entries: of `Gathering.finish`.
        like: the version before, an untouched folder; its files are linked where they are the same.

    Returns:
        Names of the files that were linked, as seen from the folder, and where they lie.
    """
    columns = gathering.columns
    parts = {family: columns.family(family) for family in ("", *FAMILIES)}
    linked: dict[str, str] = {}
    for file, rows in shards_of(entries):
        before = index_beside(like, file, columns)
        if like is not None and before is not None and gathering.untouched(rows, before.num_rows, file):
            stay = {INDEX, *(family for family, names in parts.items() if names)}
        else:
            table, cells = gathering.tables(rows)
            index = make_index(rows, cells, columns)
            stay = set()
            if before is not None:
                stay = {family for family, names in parts.items() if names and same_columns(before, index, names)}
                stay |= {INDEX} if before.equals(index) else set()
            for family in {INDEX, *parts} - stay:
                part = index if family == INDEX else table.select(parts[family]).cast(columns.select(parts[family]))
                if part.num_columns:
                    write_table(target / family / file, part)
        for family in sorted(stay):
            assert like is not None
            _link(like / family / file, target / family / file)
            linked[f"{family}/{file}" if family else file] = str(like / family / file)
    return linked


def _link(old: Path, new: Path) -> None:
    """The same file under another name; a copy where the file system has no links."""
    new.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)
