"""The columns of catalog tables: the light ones of a schema, vectors in a fixed width, as LanceDB searches them."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.schema import key_of, light
from storage.schema_fields import TIME

VECTORS = ("caption_embedding", "identity")
"""Columns that are searched by likeness."""
WRITTEN = "created"
"""When a row was made. Tables whose rows do not say it get it here, as the time when they were last written: rows of
CLIPS lie in dataset versions, which are the same bytes whenever they are made."""


def table_schema(schema: pa.Schema, widths: Mapping[str, int]) -> pa.Schema:
    """The columns of a catalog table of rows of `schema`, its vectors of these widths (0: not known yet)."""
    key = key_of(schema)
    fields = []
    for field in light(schema):
        if field.name == key:
            fields.append(pa.field(field.name, field.type, nullable=False))
        elif field.name in VECTORS:
            # The width is known only once a vector arrives; till then the column is left out.
            if widths.get(field.name):
                fields.append(pa.field(field.name, pa.list_(pa.float32(), widths[field.name])))
        else:
            fields.append(pa.field(field.name, field.type))
    if WRITTEN not in schema.names:
        fields.append(pa.field(WRITTEN, TIME))
    return pa.schema(fields)


def misfits(schema: pa.Schema, wanted: pa.Schema) -> list[pa.Field]:
    """Columns that a stored table lacks (it may be older than the schema), or has with another vector width."""
    return [
        field
        for field in wanted
        if field.name not in schema.names
        or (field.name in VECTORS and schema.field(field.name).type.list_size != field.type.list_size)
    ]


def vector_width(table: pa.Table, name: str) -> int:
    """Numbers in each vector of a column, 0 where there is none.

    Raises:
        TypeError: they differ.
    """
    lengths = {length for length in pc.unique(pc.list_value_length(table.column(name))).to_pylist() if length}
    if len(lengths) > 1:
        raise TypeError(f"{name}: vectors of {sorted(lengths)} numbers in one write")
    return int(lengths.pop()) if lengths else 0


def shaped(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with the columns and vector widths of the stored schema."""
    columns = []
    for field in schema:
        if field.name == WRITTEN and WRITTEN not in table.column_names:
            now = datetime.datetime.now(datetime.UTC)
            columns.append(pa.array([now] * table.num_rows, type=field.type))
        elif pa.types.is_fixed_size_list(field.type):
            columns.append(_fixed(table.column(field.name).combine_chunks(), field.type))
        else:
            columns.append(table.column(field.name).cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _fixed(column: pa.ListArray, kind: pa.FixedSizeListType) -> pa.Array:
    """Vectors in a fixed width; what has no direction (empty, zero, not finite) is none.

    Millions of numbers: none of them becomes a Python object.
    """
    present = pc.fill_null(pc.equal(pc.list_value_length(column), kind.list_size), False)
    numbers = column.filter(present).flatten().to_numpy(zero_copy_only=False)
    mask = np.array(present.to_numpy(zero_copy_only=False), bool)
    vectors = np.zeros((len(column), kind.list_size), np.float32)
    vectors[mask] = numbers.reshape(-1, kind.list_size)
    length = np.linalg.norm(vectors.astype(np.float64), axis=1)
    mask &= np.isfinite(length) & (length > 0)
    return pa.FixedSizeListArray.from_arrays(
        pa.array(vectors.reshape(-1)), list_size=kind.list_size, mask=pa.array(~mask)
    ).cast(kind)
