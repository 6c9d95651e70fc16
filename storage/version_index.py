"""The index of a version's shard: its keys in order, and a digest of every value, without the values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from storage.version_digests import DIGEST, NULL, Columns
from storage.version_places import Entry

INDEX = "index"
"""Folder of the indexes within a version."""
KEY, SOURCE, GROUP, BYTES, STATUS = "_key", "_source", "_group", "_bytes", "_status"
FACTS = (KEY, SOURCE, GROUP, BYTES, STATUS)
"""Columns of an index beside the digests: those of `Entry`."""


def make_index(rows: Sequence[Entry], cells: Sequence[bytes], columns: Columns) -> pa.Table:
    """The index of rows whose cells have these digests, 8 bytes each in the columns' order."""
    arrays = {
        KEY: pa.array([row.key for row in rows], pa.string()),
        SOURCE: pa.array([row.source for row in rows], pa.string()),
        GROUP: pa.array([row.group for row in rows], pa.string()),
        BYTES: pa.array([row.size for row in rows], pa.int64()),
        STATUS: pa.array([row.status for row in rows], pa.string()),
    }
    for at, name in enumerate(columns.names):
        digests = [cell[at * DIGEST : (at + 1) * DIGEST] for cell in cells]
        arrays[name] = pa.array(digests, pa.binary(DIGEST))
    return pa.table(arrays)


def read_index(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """An index, or some columns of it."""
    return pq.read_table(path, columns=None if columns is None else list(columns), partitioning=None)


def cells_of(index: pa.Table, columns: Columns) -> list[bytes]:
    """Every row's digests in the columns' order; a column that the index does not know yet is null."""
    nothing = [NULL] * index.num_rows
    found = [index.column(name).to_pylist() if name in index.column_names else nothing for name in columns.names]
    return [b"".join(row) for row in zip(*found, strict=True)]


def index_beside(folder: Path | None, file: str, columns: Columns) -> pa.Table | None:
    """The index of a shard of another version; None where there is none, or one of other columns."""
    path = None if folder is None else folder / INDEX / file
    if path is None or not path.is_file():
        return None
    index = read_index(path)
    return index if index.column_names == [*FACTS, *columns.names] else None


def same_columns(a: pa.Table, b: pa.Table, names: Sequence[str]) -> bool:
    """Whether two indexes are of the same rows in the same order with the same values in these columns."""
    return all(a.column(name).equals(b.column(name)) for name in (KEY, *names))
