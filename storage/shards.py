"""Rows in Parquet shards: written in order with the same bytes for the same rows, read column by column."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from storage.atomic import written_aside
from storage.errors import InputFailed
from storage.schema import SCHEMAS, to_table
from storage.schema_fields import FAMILIES

_BATCH = 64
_ROW = "__row"
_ID, _URI = "source_id", "source_uri"


class ShardWriter:
    """Writes rows to ``part-00000.parquet``, ``part-00001.parquet``, …; each shard appears whole.

    Use it as a context manager: rows that are not written out yet are written on leaving, unless by an error.

    Args:
        directory: where the shards go; shards that are there already are kept and the numbers go on after them.
        schema: one of `storage.schema`.
        target_mb: size at which a shard is closed, before compression.
        prefix: first part of the shards' names; give each writing process its own.
    """

    def __init__(
        self, directory: str | os.PathLike[str], schema: pa.Schema, target_mb: float = 64, prefix: str = "part"
    ) -> None:
        self.directory = Path(directory)
        self.schema = schema
        self.paths: list[Path] = []
        self.rows = 0
        self._target = target_mb * 1e6
        self._prefix = prefix
        self._held: list[pa.Table] = []
        self._bytes = 0
        self._number = len(list(self.directory.glob(f"{prefix}-*.parquet")))

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()

    def write(self, rows: Mapping[str, Any] | Iterable[Mapping[str, Any]] | pa.Table) -> None:
        """Add one row, several, or a table of the writer's schema.

        Raises:
            KeyError: a name that the schema does not have.
            TypeError: a value that does not fit its column.
        """
        if isinstance(rows, pa.Table):
            table = rows.select(self.schema.names)
            if not table.schema.equals(self.schema, check_metadata=True):
                table = table.cast(self.schema)
        else:
            table = to_table(self.schema, [rows] if isinstance(rows, Mapping) else rows)
        self._held.append(table)
        self._bytes += table.nbytes
        self.rows += table.num_rows
        if self._bytes >= self._target:
            self.flush()

    def flush(self) -> Path | None:
        """Close the shard that is being filled; None if there is nothing in it."""
        table = pa.concat_tables(self._held) if self._held else None
        if table is None or table.num_rows == 0:
            return None
        path = self.directory / f"{self._prefix}-{self._number:05d}.parquet"
        write_table(path, table)
        self.paths.append(path)
        self._number += 1
        self._held, self._bytes = [], 0
        return path


def write_table(path: str | os.PathLike[str], table: pa.Table) -> None:
    """Write one Parquet file, whole or not at all; the same rows give the same bytes.

    Row groups are small, so that a reader of heavy columns holds a few clips at a time.
    """
    with written_aside(path) as partial:
        pq.write_table(
            table.combine_chunks(), partial, row_group_size=_BATCH, compression="zstd", use_dictionary=False,
            write_statistics=True, store_schema=True, data_page_version="2.0",
        )  # fmt: skip


def shard_paths(source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The shards of a directory, sorted; or the files given, as they are.

    Raises:
        InputFailed: there are none.
    """
    if isinstance(source, (str, os.PathLike)):
        place = Path(source)
        paths = sorted(place.glob("*.parquet")) if place.is_dir() else [place]
    else:
        paths = [Path(path) for path in source]
    missing = [path for path in paths if not path.is_file()]
    if missing or not paths:
        raise InputFailed(str(missing[0] if missing else source), "no Parquet shards there", "check the path")
    return paths


def iter_tables(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    columns: Sequence[str] | None = None,
    filter: pads.Expression | None = None,
) -> Iterator[pa.Table]:
    """Tables of up to 64 rows, in shard order, so that memory does not grow with the dataset.

    Shards of a dataset version keep heavy columns in files of their own (`storage.version_rows`); those are read where
    such a column is wanted, and for rows that pass the filter only.

    Args:
        source: a directory of shards, a shard, or several.
        columns: those wanted; None for all. One that an older shard does not have yet is left out.
        filter: a `pyarrow.compute` expression over light columns, e.g. ``field("split") == "train"``.
    """
    for path in shard_paths(source):
        try:
            beside = [other for family in FAMILIES if (other := path.parent / family / path.name).is_file()]
            yield from _joined([path, *beside], columns, filter) if beside else _scanned(path, columns, filter)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputFailed(
                str(path), f"the shard cannot be read: {error}", "check the dataset out again", stage="shards",
                error_type=type(error).__name__,
            ) from error  # fmt: skip


def _scanned(path: Path, columns: Sequence[str] | None, filter: pads.Expression | None) -> Iterator[pa.Table]:
    fragments = pads.dataset(path, format="parquet")
    wanted = fragments.schema.names if columns is None else columns
    scanned = fragments.to_batches(
        columns=[name for name in wanted if name in fragments.schema.names], filter=filter, batch_size=_BATCH,
        batch_readahead=1, fragment_readahead=1, use_threads=False,
    )  # fmt: skip
    for batch in scanned:
        if batch.num_rows:
            yield pa.Table.from_batches([batch])


def _joined(paths: list[Path], columns: Sequence[str] | None, filter: pads.Expression | None) -> Iterator[pa.Table]:
    """Rows whose columns lie in several files, row for row and row group for row group."""
    files = [pq.ParquetFile(path) for path in paths]
    places = _places(paths[0].parent)
    there = [_URI] + [name for file in files for name in file.schema_arrow.names]
    order = SCHEMAS[(files[0].schema_arrow.metadata or {}).get(b"table", b"clips").decode()].names
    wanted = [name for name in (order if columns is None else columns) if name in there]
    light = files[0].schema_arrow.names
    for group in range(files[0].num_row_groups):
        # A filter may ask for any light column; they are few and small.
        read = light if filter is not None else [name for name in wanted if name in light] or light[:1]
        placed = filter is not None or _URI in wanted
        if placed and _ID in light and _ID not in read:
            read = [*read, _ID]
        first = files[0].read_row_group(group, columns=read, use_threads=False)
        rows = first.num_rows
        if placed:
            ids = first.column(_ID).to_pylist() if _ID in read else [None] * rows
            first = first.append_column(_URI, pa.array([places.get(id or "") for id in ids], pa.string()))
        if filter is not None:
            numbered = first.append_column(_ROW, pa.array(range(rows))).filter(filter)
            first, chosen = numbered.drop_columns([_ROW]), numbered.column(_ROW)
        if not first.num_rows:
            continue
        tables = [first]
        for file in files[1:]:
            names = [name for name in wanted if name in file.schema_arrow.names]
            if names:
                table = file.read_row_group(group, columns=names, use_threads=False)
                tables.append(table if first.num_rows == rows else table.take(chosen))
        found = {name: table.column(name) for table in tables for name in table.column_names}
        yield pa.table({name: found[name] for name in wanted})


def _places(folder: Path) -> dict[str, str]:
    table = read_places(folder)
    return {} if table is None else dict(zip(table.column(_ID).to_pylist(), table.column(_URI).to_pylist()))


def places_file(folder: Path) -> Path:
    """Where the file beside a dataset version lies that tells where its sources were found."""
    return folder.with_name(f"{folder.name}.sources")


def read_places(folder: Path) -> pa.Table | None:
    """source_id and source_uri of a version's sources; None where nothing is known of them."""
    path = places_file(folder)
    return pq.read_table(path, partitioning=None) if path.is_file() else None


def write_places(folder: Path, places: Mapping[str, str]) -> None:
    """The inverse of `read_places`."""
    ids = sorted(places)
    uris = [places[id] for id in ids]
    table = pa.table({_ID: pa.array(ids, pa.string()), _URI: pa.array(uris, pa.string())})
    known = read_places(folder)
    if known is None or not table.equals(known):
        write_table(places_file(folder), table)


def read_rows(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    columns: Sequence[str] | None = None,
    filter: pads.Expression | None = None,
) -> Iterator[dict[str, Any]]:
    """Rows as dicts, in shard order; arguments as `iter_tables`. Wanted columns that a shard lacks are None."""
    absent = dict.fromkeys(columns or ())
    for table in iter_tables(source, columns, filter):
        for found in table.to_pylist():
            yield absent | found


def rows_with(
    source: str | os.PathLike[str], column: str, values: Iterable[Any], columns: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Rows whose light `column` holds one of some values: the other rows' heavy columns are not read."""
    wanted = list(values)
    if wanted:
        yield from read_rows(source, columns, pads.field(column).isin(wanted))


def row_count(source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> int:
    """Number of rows, from the shards' footers."""
    return sum(pq.read_metadata(path).num_rows for path in shard_paths(source))
