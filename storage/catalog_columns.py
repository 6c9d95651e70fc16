"""The columns of catalog tables: the light ones of a schema, vectors in a fixed width, as LanceDB searches them."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from storage.schema import key_of, light

VECTORS = ("caption_embedding", "identity")
"""Columns that are searched by likeness."""


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
    lengths = {len(value) for value in table.column(name).to_pylist() if value}
    if len(lengths) > 1:
        raise TypeError(f"{name}: vectors of {sorted(lengths)} numbers in one write")
    return lengths.pop() if lengths else 0


def shaped(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with the columns and vector widths of the stored schema."""
    columns = []
    for field in schema:
        column = table.column(field.name)
        if pa.types.is_fixed_size_list(field.type):
            columns.append(pa.array([value or None for value in column.to_pylist()], type=field.type))
        else:
            columns.append(column.cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)
