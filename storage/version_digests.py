"""Digests of rows: what is equal has an equal digest, whatever shard, order or run it came from.

A dataset version is named by the digests of its rows; those of single cells tell which fields of a clip changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from storage.schema import SCHEMAS, key_of

MADE_BY = frozenset({"created", "seconds", "cpu_seconds", "attempts", "code_revision", "config_hash"})
"""Columns about how a row was made, not about what it holds: no part of a version, neither of its name nor its bytes.
Sources and steps in the catalog keep them, and VERSION.json tells which code and configuration committed it."""
PLACE = "source_uri"
"""Where a file was found is a fact about a machine: it lies beside a version (`storage.shards`), not in it."""

DIGEST = 8
NULL = b"\0" * DIGEST
_LIGHT_BYTES = 4096
"""Counted for all light columns of a row together, so that a changed label never moves a row to another shard."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a version: names in the schema's order, and which are heavy and of which family."""

    schema: pa.Schema

    @classmethod
    def of(cls, schema: pa.Schema) -> Columns:
        """Those that a version of rows of `schema` keeps, as `storage.schema` knows the table today."""
        known = SCHEMAS.get((schema.metadata or {}).get(b"table", b"").decode(), SCHEMAS["clips"])
        fields = [
            pa.field(field.name, field.type, metadata=_lasting(field))
            for field in known
            if field.name not in MADE_BY | {PLACE}
        ]
        return cls(pa.schema(fields, metadata=known.metadata))

    @property
    def key(self) -> str:
        return key_of(self.schema)

    @property
    def names(self) -> list[str]:
        return list(self.schema.names)

    def family(self, family: str) -> list[str]:
        """Names of the columns of a family of heavy columns; "" for the light ones."""
        return [field.name for field in self.schema if (field.metadata or {}).get(b"heavy", b"").decode() == family]

    def complete(self, table: pa.Table) -> pa.Table:
        """A table's columns in order, those that it lacks null."""
        there = set(table.column_names)
        arrays = [
            table.column(field.name).cast(field.type) if field.name in there else pa.nulls(table.num_rows, field.type)
            for field in self.schema
        ]
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def select(self, names: list[str]) -> pa.Schema:
        """The schema of these columns."""
        return pa.schema([self.schema.field(name) for name in names], metadata=self.schema.metadata)


def _lasting(field: pa.Field) -> dict[bytes, bytes]:
    """A column's metadata without its description, which may be put better one day: the files stay the same."""
    return {name: value for name, value in (field.metadata or {}).items() if name in (b"unit", b"heavy")}


def digest_table(table: pa.Table, columns: Columns) -> tuple[list[bytes], list[int]]:
    """Digests and sizes of the rows of a table that has all `columns`.

    Returns:
        For every row its cells' digests, 8 bytes each in the columns' order, and its size in bytes as placed: that of
        its heavy values, and a constant for the light ones.
    """
    raw: list[list[bytes]] = []
    sizes = np.full(table.num_rows, _LIGHT_BYTES, np.int64)
    for name in columns.names:
        digests, lengths = cell_digests(table.column(name))
        raw.append(digests)
        if columns.schema.field(name).metadata and b"heavy" in columns.schema.field(name).metadata:
            sizes += lengths
    return [b"".join(row) for row in zip(*raw, strict=True)], sizes.tolist()


def row_digest(cells: bytes, names: list[str]) -> bytes:
    """One digest of a row's cells. Columns without a value do not count: a column that a later schema adds, and that is
    null, leaves the versions of today as they are."""
    digest = hashlib.blake2b(digest_size=16)
    for number in sorted(range(len(names)), key=names.__getitem__):
        cell = cells[number * DIGEST : (number + 1) * DIGEST]
        if cell != NULL:
            digest.update(names[number].encode() + b"\0" + cell)
    return digest.digest()


def with_changes(cells: bytes, changes: Mapping[str, Any], columns: Columns) -> bytes:
    """A row's cells after some light columns took other values."""
    changed = bytearray(cells)
    for name, value in changes.items():
        at = columns.names.index(name) * DIGEST
        column = pa.chunked_array([pa.array([value], columns.schema.field(name).type)])
        changed[at : at + DIGEST] = cell_digests(column)[0][0]
    return bytes(changed)


def cell_digests(column: pa.ChunkedArray) -> tuple[list[bytes], Any]:
    """8-byte digest of every value of a column (equal values of one type have equal ones; null has `NULL`), and the
    bytes that each value holds, int64."""
    digests: list[bytes] = []
    sizes: list[int] = []
    for chunk in column.chunks:
        for value in _values(chunk):
            digests.append(NULL if value is None else _digest(value))
            sizes.append(_size(value))
    return digests, np.asarray(sizes, np.int64)


def _values(chunk: pa.Array) -> list[Any]:
    if pa.types.is_list(chunk.type) and pa.types.is_floating(chunk.type.value_type):
        # Number lists as bytes: a row's digest must not depend on what else lies in the chunk, so each for itself.
        kind = chunk.type.value_type.to_pandas_dtype()
        return [None if not item.is_valid else _numbers(item.values, kind) for item in chunk]
    values: list[Any] = chunk.to_pylist()
    return values


def _numbers(values: pa.Array, kind: Any) -> Any:
    if values.null_count:
        return values.to_pylist()
    return np.ascontiguousarray(values.to_numpy(zero_copy_only=False), kind).tobytes()


def _size(value: Any) -> int:
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, list):
        return sum(len(item) if isinstance(item, bytes) else 8 for item in value)
    return 8


def _digest(value: Any) -> bytes:
    digest = hashlib.blake2b(digest_size=DIGEST)
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
