"""The Arrow schemas of everything that is exchanged and kept: the contract between steps.

The columns stand in `storage.schema_clips` (footage) and `storage.schema_runs` (what was made). Every field carries its
unit and its meaning as metadata (`describe` prints them). Rows are plain dicts made by `row`, which fills what is not
given with null and refuses names that the schema does not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from storage.schema_clips import CLIPS, SOURCES, STEPS
from storage.schema_runs import MODELS, RENDERS, RUNS

STATUSES = ("ok", "rejected", "failed")

SCHEMAS: dict[str, pa.Schema] = {
    schema.metadata[b"table"].decode(): schema for schema in (SOURCES, CLIPS, STEPS, RENDERS, MODELS, RUNS)
}


def table_name(schema: pa.Schema) -> str:
    """Name of the catalog table that holds rows of `schema`."""
    return schema.metadata[b"table"].decode()


def key_of(schema: pa.Schema) -> str:
    """Name of the column that identifies a row of `schema`."""
    return schema.metadata[b"key"].decode()


def light(schema: pa.Schema) -> pa.Schema:
    """`schema` without its heavy columns (crops, masks, sound): what the catalog keeps."""
    fields = [field for field in schema if b"heavy" not in (field.metadata or {})]
    return pa.schema(fields, metadata=schema.metadata)


def row(schema: pa.Schema, **values: Any) -> dict[str, Any]:
    """A row of `schema`: `values`, and null for every column that is not given.

    Raises:
        KeyError: for a name that the schema does not have.
        ValueError: for a status that is none of `STATUSES` (rows of RUNS may also be ``running``).
    """
    unknown = sorted(set(values) - set(schema.names))
    if unknown:
        raise KeyError(f"{table_name(schema)} has no column {', '.join(unknown)}")
    allowed = (*STATUSES, "running") if table_name(schema) == "runs" else STATUSES
    status = values.get("status")
    if status is not None and status not in allowed:
        raise ValueError(f"status is {status!r}, not one of {', '.join(allowed)}")
    if "synthetic" in schema.names:
        values.setdefault("synthetic", True)
    return {name: values.get(name) for name in schema.names}


def to_table(schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows as an Arrow table of `schema`; missing columns become null, numpy arrays become lists.

    Raises:
        KeyError: for a name that the schema does not have.
        TypeError: for a value that does not fit its column; the message names row, column and value.
    """
    complete = [row(schema, **{name: _plain(value) for name, value in given.items()}) for given in rows]
    columns = []
    for field in schema:
        values = [entry[field.name] for entry in complete]
        try:
            columns.append(pa.array(values, type=field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise TypeError(f"{table_name(schema)}.{field.name}: {error}") from error
    return pa.Table.from_arrays(columns, schema=schema)


def _plain(value: Any) -> Any:
    # Arrow takes one-dimensional arrays; landmarks and matrices come with their shape and are kept flat.
    if hasattr(value, "tolist") and hasattr(value, "ndim"):
        return value.tolist() if value.ndim == 0 else value.reshape(-1)
    return value


def describe(schema: pa.Schema) -> list[dict[str, str]]:
    """One entry per column: name, type, unit, doc."""
    return [
        {
            "name": field.name,
            "type": str(field.type),
            "unit": (field.metadata or {}).get(b"unit", b"").decode(),
            "doc": (field.metadata or {}).get(b"doc", b"").decode(),
        }
        for field in schema
    ]
