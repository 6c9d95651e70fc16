"""The rows of a dataset version: their digests, their order, and the differences between two versions."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.ids import content_id
from storage.schema import SCHEMAS, key_of
from storage.shards import ShardWriter, iter_tables, shard_paths, write_table

# They differ between two runs that found the same, so they are no part of what a version is.
VOLATILE = frozenset({"created", "seconds", "attempts", "code_revision"})
_DIGEST = 8
_BUCKET = 256_000_000


def _bytes_of(path: Path) -> int:
    metadata = pq.read_metadata(path)
    return sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))


@dataclass(frozen=True)
class Digests:
    """Keys in order, where each row lies (shard, row), and the digests of its columns."""

    version: str
    keys: list[str]
    places: list[tuple[int, int]]
    columns: dict[str, list[bytes]]
    schema: pa.Schema


def digest_rows(directory: Path) -> Digests:
    """Read all shards of a directory once, 64 rows at a time, and hash every column of every row."""
    found: dict[str, tuple[tuple[int, int], list[bytes]]] = {}
    names: list[str] = []
    schema: pa.Schema | None = None
    for number, path in enumerate(shard_paths(directory)):
        at = 0
        for table in iter_tables(path):
            if schema is None:
                schema = _known(table.schema)
                names = [name for name in schema.names if name not in VOLATILE]
            digests = [cell_digests(table.column(name)) for name in names]
            for offset, key in enumerate(table.column(key_of(schema)).to_pylist()):
                found[key] = ((number, at + offset), [column[offset] for column in digests])
            at += table.num_rows
    keys = sorted(found)
    columns = {name: [found[key][1][i] for key in keys] for i, name in enumerate(names)}
    version = content_id("dataset", keys, [[name, b"".join(columns[name])] for name in sorted(columns)])
    return Digests(version, keys, [found[key][0] for key in keys], columns, schema or SCHEMAS["clips"])


def write_sorted(source: Path, target: Path, digests: Digests) -> None:
    """Write the rows in key order, and their index, into `target`.

    Rows come in any order and may not fit into memory: they are dealt out into buckets of neighbouring keys first, and
    then each bucket is sorted on its own.
    """
    rank = {place: number for number, place in enumerate(digests.places)}
    paths = shard_paths(source)
    size = sum(_bytes_of(path) for path in paths)
    buckets = max(1, min(len(rank), -(-size // _BUCKET)))
    with tempfile.TemporaryDirectory(dir=target.parent, suffix=".partial") as scratch:
        dealt = [
            ShardWriter(scratch, digests.schema, _BUCKET / 1e6 / buckets, prefix=f"bucket{number:04d}")
            for number in range(buckets)
        ]
        for number, path in enumerate(paths):
            at = 0
            for table in iter_tables(path):
                ranks = [rank.get((number, at + offset), -1) for offset in range(table.num_rows)]
                at += table.num_rows
                for bucket in {value * buckets // len(rank) for value in ranks if value >= 0}:
                    chosen = [
                        i for i, value in enumerate(ranks) if value >= 0 and value * buckets // len(rank) == bucket
                    ]
                    dealt[bucket].write(table.take(chosen))
        with ShardWriter(target, digests.schema) as writer:
            for part in dealt:
                part.flush()
                if part.paths:
                    whole = pa.concat_tables([table for path in part.paths for table in iter_tables(path)])
                    ordered = whole.take(pc.sort_indices(whole.column(key_of(digests.schema))))
                    for start in range(0, ordered.num_rows, 64):
                        writer.write(ordered.slice(start, 64))
    arrays = {"key": pa.array(digests.keys)} | {
        name: pa.array(values, type=pa.binary(_DIGEST)) for name, values in digests.columns.items()
    }
    write_table(target / "index.idx", pa.table(arrays))


def count_by_status(directory: Path) -> dict[str, int]:
    """Rows by status."""
    totals: dict[str, int] = {}
    for table in iter_tables(directory, columns=["status"]):
        for entry in pc.value_counts(table.column("status")).to_pylist():
            status = entry["values"] or "unknown"
            totals[status] = totals.get(status, 0) + entry["counts"]
    return totals


def differences(a: Path, b: Path) -> tuple[list[str], list[str], dict[str, list[str]]]:
    """Keys added and removed from version folder `a` to `b`, and the changed fields by key."""
    first, second = _index(a), _index(b)
    added = sorted(second.keys() - first.keys())
    removed = sorted(first.keys() - second.keys())
    changed: dict[str, list[str]] = {}
    for key in sorted(first.keys() & second.keys()):
        before, after = first[key], second[key]
        names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        if names:
            changed[key] = names
    return added, removed, changed


def cell_digests(column: pa.ChunkedArray) -> list[bytes]:
    """8-byte digest of every value of a column; equal values of one type have equal digests."""
    return [_digest(value) for chunk in column.chunks for value in _values(chunk)]


def _values(chunk: pa.Array) -> list[Any]:
    if pa.types.is_list(chunk.type) and pa.types.is_floating(chunk.type.value_type) and chunk.values.null_count == 0:
        flat = chunk.values.to_numpy(zero_copy_only=False)
        bounds = chunk.offsets.to_numpy()
        return [
            None if null else flat[bounds[i] : bounds[i + 1]].tobytes()
            for i, null in enumerate(chunk.is_null().to_pylist())
        ]
    values: list[Any] = chunk.to_pylist()
    return values


def _digest(value: Any) -> bytes:
    digest = hashlib.blake2b(digest_size=_DIGEST)
    _feed(digest, value)
    return digest.digest()


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, list):
        digest.update(b"l%d:" % len(value))
        for item in value:
            _feed(digest, item)
    elif isinstance(value, bytes):
        digest.update(b"y%d:" % len(value))
        digest.update(value)
    else:
        text = repr(value).encode()
        digest.update(b"t%d:" % len(text))
        digest.update(text)


def _known(schema: pa.Schema) -> pa.Schema:
    table = (schema.metadata or {}).get(b"table", b"").decode()
    return SCHEMAS.get(table, SCHEMAS["clips"])


def _index(folder: Path) -> dict[str, dict[str, bytes]]:
    table = pq.read_table(folder / "index.idx")
    return {entry.pop("key"): entry for entry in table.to_pylist()}
