"""Counts and sums over a table of the catalog, by groups, without holding its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from storage.catalog import Catalog


def totals(
    catalog: Catalog, table: str, by: Sequence[str], sums: Sequence[str] = (), where: str | None = None
) -> list[dict[str, Any]]:
    """Of each group of rows with equal values of `by`: those values, `rows`, and for each column of `sums` its sum
    under its name and the number of rows that have a value under ``NAME_rows``.

    Raises:
        UsageError: there is no such table or column.
    """
    wanted = [("", "count_all"), *((name, kind) for name in sums for kind in ("sum", "count"))]
    parts = []
    for batch in catalog.batches(table, where, list(dict.fromkeys([*by, *sums]))):
        grouped = pa.Table.from_batches([batch]).group_by(list(by)).aggregate([(name or [], k) for name, k in wanted])
        parts.append(grouped.rename_columns(_names(by, sums)))
    if not parts:
        return []
    joined = pa.concat_tables(parts, promote_options="permissive").group_by(list(by))
    values = _names(by, sums)[len(by) :]
    found: list[dict[str, Any]] = (
        joined.aggregate([(name, "sum") for name in values]).rename_columns([*by, *values]).to_pylist()
    )
    return found


def _names(by: Sequence[str], sums: Sequence[str]) -> list[str]:
    return [*by, "rows", *(name for column in sums for name in (column, f"{column}_rows"))]
