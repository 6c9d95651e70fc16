"""The catalog: LanceDB tables of sources, clips, renders, models and runs, to be searched by text, vector and value.

It holds the light columns only (`storage.schema.light`). A row is written by its key, so that a rerun replaces it, and
the key is declared to Lance, so that two processes that write the same row at once do not leave it twice.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa
from lancedb.index import FTS

from storage.atomic import FileLock
from storage.catalog_columns import VECTORS, misfits, shaped, table_schema, vector_width
from storage.errors import NotFound, UsageError
from storage.layout import Root
from storage.schema import SCHEMAS, key_of, light, to_table

_TEXT = {"sources": "text", "clips": "caption", "renders": "caption"}
_TRIES = 20
_BATCH = 4096


class Catalog:
    """The tables under one root; they are made on first use.

    Args:
        root: the data root (or a path to it).
    """

    def __init__(self, root: Root | str | os.PathLike[str]) -> None:
        self.path: Path = Root(root).catalog

    @functools.cached_property
    def _database(self) -> lancedb.DBConnection:
        self.path.mkdir(parents=True, exist_ok=True)
        return lancedb.connect(str(self.path))

    def upsert(self, table: str, rows: Iterable[Mapping[str, Any]] | Mapping[str, Any]) -> int:
        """Write rows by their key, replacing rows of the same key; heavy columns are left out. Returns how many.

        Of several rows with one key the last counts.

        Raises:
            UsageError: there is no such table, or a row has no key.
            KeyError, TypeError: a column or a value that the schema does not have.
        """
        schema = _schema(table)
        key = key_of(schema)
        given = [rows] if isinstance(rows, Mapping) else list(rows)
        names = set(light(schema).names)
        heavy = set(schema.names) - names
        last: dict[str, dict[str, Any]] = {}
        for entry in given:
            if not entry.get(key):
                raise UsageError(f"a row for {table} has no {key}", "give every row its id")
            last.pop(entry[key], None)
            last[entry[key]] = {name: value for name, value in entry.items() if name not in heavy}
        if not last:
            return 0
        plain = to_table(light(schema), last.values())
        widths = {name: vector_width(plain, name) for name in VECTORS if name in plain.column_names}
        target = self._open(table, widths)
        table_schema = target.schema
        data = shaped(plain, table_schema)
        for attempt in range(_TRIES):
            try:
                merge = target.merge_insert(key).when_matched_update_all().when_not_matched_insert_all()
                # LanceDB takes a missing vector for a bad one; here it is a row that has none (nothing was measured).
                merge.execute(data, on_bad_vectors="null")
                return len(last)
            except (RuntimeError, OSError) as error:
                # Many writers at once: Lance gives up after ten conflicts in a row. The upsert can simply be repeated.
                if "onflict" not in str(error) or attempt == _TRIES - 1:
                    raise
                target.checkout_latest()
        return len(last)

    def rows(
        self, table: str, where: str | None = None, limit: int | None = None, columns: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """Rows of a table that satisfy `where` (SQL, e.g. ``status = 'ok' AND sync_confidence > 3``).

        Raises:
            UsageError: there is no such table, or `where` cannot be understood.
        """
        target = self._existing(table)
        if target is None:
            return []
        query = target.search()
        if where:
            query = query.where(where)
        if columns is not None:
            query = query.select(list(columns))
        found = _run(query, limit if limit is not None else target.count_rows(), table)
        if columns is None:
            # A vector column exists from the first vector on; for those who read rows it is null before that.
            missing = [name for name in light(_schema(table)).names if name not in target.schema.names]
            found = [{**entry, **dict.fromkeys(missing)} for entry in found]
        return found

    def each(self, table: str, where: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Columns of the rows that satisfy `where`, a few thousand held at a time.

        Raises:
            UsageError: there is no such table.
        """
        target = self._existing(table)
        if target is not None:
            query = target.search().where(where).select(list(columns)).limit(max(1, target.count_rows()))
            for batch in query.to_batches(_BATCH):
                yield from batch.to_pylist()

    def get(self, table: str, id: str) -> dict[str, Any] | None:
        """The row with this key, or the only one whose key begins with it; None if there is none or several."""
        key = key_of(_schema(table))
        found = self.rows(table, f"{key} = '{_quoted(id)}'", 1)
        if not found and id:
            found = self.rows(table, f"starts_with({key}, '{_quoted(id)}')", 2)
        return found[0] if len(found) == 1 else None

    def count(self, table: str, where: str | None = None) -> int:
        """Number of rows that satisfy `where`."""
        target = self._existing(table)
        return 0 if target is None else target.count_rows(where)

    def search(
        self,
        table: str,
        *,
        vector: Sequence[float] | None = None,
        column: str = "caption_embedding",
        text: str | None = None,
        where: str | None = None,
        limit: int = 20,
    ) -> list[dict[str, Any]]:
        """The nearest rows, best first.

        Args:
            vector: unit vector [D]: by cosine, over `column` (``caption_embedding``, or ``identity`` for a face); rows
                get ``_score``, the cosine.
            text: words to be found in the caption (in what is said, for sources); rows get ``_score`` (BM25).
            where: SQL that rows must satisfy too. Without `vector` and `text` this is `rows`.

        Raises:
            UsageError: no such table or column, both `vector` and `text`, or another length than the table's vectors.
        """
        if vector is not None and text is not None:
            raise UsageError("a search is by vector or by words, not by both", "give one of them")
        target = self._existing(table)
        if target is None:
            return []
        if vector is None and text is None:
            return self.rows(table, where, limit)
        if vector is not None:
            if column not in target.schema.names or not pa.types.is_fixed_size_list(target.schema.field(column).type):
                return []
            width = target.schema.field(column).type.list_size
            if len(vector) != width:
                raise UsageError(
                    f"{table}.{column} holds vectors of {width} numbers, the query has {len(vector)}",
                    "embed the query with the encoder that the rows were made with",
                )
            query = target.search([float(x) for x in vector], vector_column_name=column).distance_type("cosine")
            found = _run(query.where(f"{column} IS NOT NULL" + (f" AND ({where})" if where else "")), limit, table)
            for entry in found:
                entry["_score"] = 1.0 - entry.pop("_distance")
            return found
        if table not in _TEXT:
            raise UsageError(f"{table} has no text to search", f"search {', '.join(_TEXT)}")
        self._index_text(target, table)
        query = target.search(text, query_type="fts", fts_columns=_TEXT[table])
        return _run(query.where(where) if where else query, limit, table)

    def delete(self, table: str, where: str) -> None:
        """Remove the rows that satisfy `where`."""
        target = self._existing(table)
        if target is not None:
            target.delete(where)

    def version(self, table: str) -> int:
        """Number of the table's newest version; every write makes one. 0 for a table without rows."""
        target = self._existing(table)
        return 0 if target is None else int(target.version)

    def tag(self, table: str, name: str, version: int | None = None) -> int:
        """Name a version of a table, the newest if none is given (moving the name where it exists), which keeps it;
        returns its number."""
        target = self._existing(table)
        if target is None:
            raise NotFound(f"the catalog has no {table} yet", "write some rows first")
        version = int(target.version) if version is None else version
        if name in target.tags.list():
            target.tags.update(name, version)
        else:
            target.tags.create(name, version)
        return version

    def tags(self, table: str) -> dict[str, int]:
        """Version number by name."""
        target = self._existing(table)
        return {} if target is None else {name: int(tag["version"]) for name, tag in target.tags.list().items()}

    def rows_at(self, table: str, version: int | str, where: str | None = None) -> list[dict[str, Any]]:
        """Rows as they were at a version or tag.

        Raises:
            NotFound: there is no such version.
        """
        target = self._existing(table)
        try:
            if target is None:
                raise ValueError("no such table")
            target.checkout(version)
            query = target.search()
            return _run(query.where(where) if where else query, target.count_rows(), table)
        except (ValueError, RuntimeError) as error:
            raise NotFound(f"{table} has no version {version}", "see `tags`") from error

    def optimize(self, table: str) -> None:
        """Join small fragments and bring indexes up to date; versions with a tag survive."""
        target = self._existing(table)
        if target is not None:
            target.optimize()

    def _existing(self, table: str) -> Any:
        _schema(table)
        if not (self.path / f"{table}.lance").is_dir():
            return None
        return self._database.open_table(table)

    def _open(self, table: str, widths: Mapping[str, int]) -> Any:
        """The table, made where it is missing, with vector columns of these widths (0: not known yet)."""
        wanted = table_schema(_schema(table), widths)
        target: Any = self._existing(table)
        key = key_of(_schema(table))
        if target is not None and _is_keyed(target, key) and not misfits(target.schema, wanted):
            return target
        with FileLock(self.path / f".{table}.lock", timeout_s=120):
            target = self._existing(table)
            if target is None:
                target = self._database.create_table(table, schema=wanted)
            if not _is_keyed(target, key):
                target.set_unenforced_primary_key(key)
            for field in misfits(target.schema, wanted):
                # Vectors of another encoder mean nothing beside the new ones: the column starts afresh.
                if field.name in target.schema.names:
                    target.drop_columns([field.name])
                target.add_columns(pa.schema([field]))
            return target

    def _index_text(self, target: Any, table: str) -> None:
        column = _TEXT[table]
        if any(column in index.columns for index in target.list_indices()):
            return
        with FileLock(self.path / f".{table}.lock", timeout_s=120):
            target.checkout_latest()
            if not any(column in index.columns for index in target.list_indices()):
                target.create_index(column, config=FTS())


def _schema(table: str) -> pa.Schema:
    try:
        return SCHEMAS[table]
    except KeyError:
        raise UsageError(f"the catalog has no table {table}", f"use {', '.join(SCHEMAS)}") from None


def _is_keyed(target: Any, key: str) -> bool:
    """Whether Lance knows the key: a table that another process makes just now, or died over, has none yet."""
    metadata = target.schema.field(key).metadata or {}
    return any(name.startswith(b"lance-schema:unenforced-primary-key") for name in metadata)


def _run(query: Any, limit: int, table: str) -> list[dict[str, Any]]:
    try:
        found = query.limit(max(1, limit)).to_arrow().to_pylist()
    except (ValueError, RuntimeError, OSError) as error:
        cause = str(error).splitlines()[0]
        raise UsageError(
            f"{table}: the search cannot be understood: {cause}", "conditions are SQL, e.g. status = 'ok'"
        ) from error
    return found if limit > 0 else []


def _quoted(text: str) -> str:
    return text.replace("'", "''")
