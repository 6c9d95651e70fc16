"""How a catalog table is asked: by SQL, by words, by the likeness of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from lancedb.query import BooleanQuery, ColumnOrdering, FullTextOperator, FullTextQuery, MatchQuery, Occur

from storage.catalog_columns import VECTORS
from storage.catalog_indexes import PROBED, WORDS
from storage.errors import UsageError

TAKEN = 1000
"""Up to so many rows are found first and read then; more are read in passing."""


def select_rows(
    target: Any,
    table: str,
    where: str | None = None,
    limit: int | None = None,
    columns: Sequence[str] | None = None,
    order_by: str | None = None,
) -> pa.Table:
    """Rows that satisfy `where` (SQL), by a column where one is named (``-created``: the largest first).

    Raises:
        UsageError: `where` cannot be understood, or there is no such column.
    """
    query = target.search()
    if where:
        query = query.where(where)
    if order_by:
        column = order_by.removeprefix("-")
        if column not in target.schema.names:
            raise UsageError(f"{table} has no column {column!r} to sort by", "see `dubwright catalog show` for names")
        ordering = ColumnOrdering(column_name=column, ascending=not order_by.startswith("-"), nulls_first=False)
        query = query.order_by([ordering])
    if limit is not None and limit <= TAKEN:
        return _few(target, table, query, limit, columns if columns is not None else target.schema.names)
    if columns is not None:
        query = query.select(list(columns))
    return _run(query, limit if limit is not None else target.count_rows(), table)


def search_vectors(
    target: Any,
    table: str,
    vector: Sequence[float],
    column: str,
    where: str | None,
    limit: int,
    columns: Sequence[str] | None,
) -> pa.Table | None:
    """Nearest rows by cosine, with ``_distance``; rows without a vector are none of them. None: no vectors here yet.

    Raises:
        UsageError: another length than the table's vectors, or `where` cannot be understood.
    """
    if column not in target.schema.names or not pa.types.is_fixed_size_list(target.schema.field(column).type):
        return None
    width = target.schema.field(column).type.list_size
    if len(vector) != width:
        raise UsageError(
            f"{table}.{column} holds vectors of {width} numbers, the query has {len(vector)}",
            "embed the query with the encoder that the rows were made with",
        )
    query = target.search([float(x) for x in vector], vector_column_name=column).distance_type("cosine")
    query = query.nprobes(PROBED)
    wanted = _wanted(target, columns)
    return _few(target, table, query.where(where) if where else query, limit, wanted, "_distance")


def search_words(
    target: Any, table: str, text: str, where: str | None, limit: int, columns: Sequence[str] | None
) -> pa.Table:
    """Rows in which some of the words stand, those where more and rarer ones do first, with ``_score`` (BM25).

    Raises:
        UsageError: `where` cannot be understood.
    """
    asked: list[tuple[Occur, FullTextQuery]] = [
        (
            Occur.SHOULD,
            MatchQuery(
                text, column, boost=1.0, fuzziness=0, max_expansions=50, operator=FullTextOperator.OR, prefix_length=0,
                document_granularity=None,
            ),
        )
        for column in WORDS[table]
        if column in target.schema.names
    ]  # fmt: skip
    query = target.search(BooleanQuery(asked), query_type="fts")
    wanted = _wanted(target, columns)
    return _few(target, table, query.where(where) if where else query, limit, wanted, "_score")


def _few(target: Any, table: str, query: Any, limit: int, columns: Sequence[str], score: str = "") -> pa.Table:
    """First which rows, then their columns: Lance reads many columns of a query's rows several times as slowly."""
    schema = target.schema
    named = {name: schema.field(name).type for name in columns if name in schema.names}
    unknown = [name for name in columns if name not in named]
    if unknown:
        raise UsageError(f"{table} has no column {', '.join(unknown)}", "see `dubwright catalog show` for names")
    key = next(field.name for field in schema if not field.nullable)
    which = _run(query.select([key, score] if score else [key]).with_row_id(True), limit, table)
    places = which["_rowid"].to_pylist()
    if not places:
        found = pa.schema(list(named.items())).empty_table()
    else:
        # Rows are read in the order in which they lie, each once.
        taken = target.take_row_ids(places).select(list(named)).with_row_id().to_arrow()
        lies = {place: index for index, place in enumerate(taken["_rowid"].to_pylist())}
        found = taken.take([lies[place] for place in places]).select(list(named))
    return found.append_column(score, which[score].combine_chunks()) if score else found


def _run(query: Any, limit: int, table: str) -> pa.Table:
    """What a query gives, at most `limit` rows.

    Raises:
        UsageError: its conditions cannot be understood.
    """
    try:
        found = query.limit(max(1, limit)).to_arrow()
    except (ValueError, RuntimeError, OSError) as error:
        raise not_understood(table, error) from error
    return found if limit > 0 else found.slice(0, 0)


def not_understood(table: str, error: BaseException) -> UsageError:
    """The error for a query that Lance refuses."""
    cause = str(error).splitlines()[0]
    return UsageError(f"{table}: the search cannot be understood: {cause}", "conditions are SQL, e.g. status = 'ok'")


def _wanted(target: Any, columns: Sequence[str] | None) -> list[str]:
    # Vectors are searched by, not read: 512 numbers a row would be most of the answer.
    return list(columns) if columns is not None else [name for name in target.schema.names if name not in VECTORS]
