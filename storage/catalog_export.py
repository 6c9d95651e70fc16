"""Catalog rows as files for other programs: Parquet with everything, CSV and JSON lines without the vectors."""

from __future__ import annotations

import csv
import datetime
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.atomic import written_aside
from storage.catalog_columns import VECTORS
from storage.errors import UsageError

FORMATS = (".parquet", ".csv", ".jsonl")


def check_format(path: str | os.PathLike[str]) -> None:
    """Raises `UsageError` unless the name ends as one of `FORMATS`."""
    if Path(path).suffix.lower() not in FORMATS:
        endings = ", ".join(FORMATS)
        raise UsageError(f"{os.fspath(path)}: the name must end in one of {endings}", "choose one of them")


def export_rows(batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: str | os.PathLike[str]) -> int:
    """Write rows to `path` in the format that its name ends in, whole or not at all; returns how many.

    A few thousand rows are held at a time. In CSV lists are JSON, times ISO 8601, nothing is an empty field.

    Args:
        batches: rows with the columns of `schema`, in any order.
        schema: the columns, in order; a file without rows has them too.

    Raises:
        UsageError: the name ends in none of `FORMATS`.
    """
    check_format(path)
    write = {".parquet": _parquet, ".csv": _csv, ".jsonl": _jsonl}[Path(path).suffix.lower()]
    with written_aside(path) as partial:
        return write(batches, schema, partial)


def _parquet(batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path) -> int:
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            table = pa.Table.from_batches([batch]).select(schema.names).cast(schema)
            writer.write_table(table)
            rows += table.num_rows
    return rows


def _csv(batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path) -> int:
    rows = 0
    with path.open("w", encoding="utf-8", newline="") as sink:
        names = [name for name in schema.names if name not in VECTORS]
        writer = csv.DictWriter(sink, names, lineterminator="\n")
        writer.writeheader()
        for batch in batches:
            entries = batch.select(names).to_pylist()
            writer.writerows({name: _field(value) for name, value in entry.items()} for entry in entries)
            rows += len(entries)
    return rows


def _jsonl(batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path) -> int:
    rows = 0
    with path.open("w", encoding="utf-8") as sink:
        names = [name for name in schema.names if name not in VECTORS]
        for batch in batches:
            for entry in batch.select(names).to_pylist():
                sink.write(json.dumps(entry, default=_plain, ensure_ascii=False) + "\n")
                rows += 1
    return rows


def _field(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list) else _plain(value)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime.datetime) else value
