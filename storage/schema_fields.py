"""What the Arrow schemas are made of: fields with a unit and a meaning, and the columns that many tables share."""

from __future__ import annotations

import pyarrow as pa

TEXT, REAL, COUNT, FLAG = pa.string(), pa.float64(), pa.int64(), pa.bool_()
REALS = pa.list_(pa.float32())
TIME = pa.timestamp("us", tz="UTC")

FAMILIES = ("picture", "sound")
"""Kinds of heavy columns. A dataset version keeps each in files of its own: new sound leaves the pictures alone."""


def field(name: str, kind: pa.DataType, unit: str, doc: str, heavy: str = "") -> pa.Field:
    """A column; `heavy` names the kind (`FAMILIES`) of one too large for the catalog."""
    metadata = {"unit": unit, "doc": doc} | ({"heavy": heavy} if heavy else {})
    return pa.field(name, kind, metadata=metadata)


def table(name: str, key: str, *fields: pa.Field) -> pa.Schema:
    """The schema of a table whose rows are known by the column `key`."""
    return pa.schema(fields, metadata={"table": name, "key": key})


OUTCOME = (
    field("status", TEXT, "", "ok, rejected or failed"),
    field("stage", TEXT, "", "the step that decided the status"),
    field("measure", TEXT, "", "what was measured when the row was rejected"),
    field("value", REAL, "of the measure", "what was found"),
    field("threshold", REAL, "of the measure", "what was asked for"),
    field("reason", TEXT, "", "the sentence for people, with the remedy"),
    field("error_type", TEXT, "", "class of the error of a failed row"),
)
MADE_BY = (
    field("config_hash", TEXT, "", "hash of the whole configuration"),
    field("code_revision", TEXT, "", "git commit or version of the code"),
    field("created", TIME, "UTC", "when the row was made"),
)
