"""The catalog: LanceDB tables of sources, clips, renders, models and runs, to be searched by text, vector and value.

It holds the light columns only (`storage.schema.light`). A row is written by its key, so that a rerun replaces it, and
the key is declared to Lance, so that two processes that write the same row at once do not leave it twice.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from storage.atomic import FileLock
from storage.catalog_columns import VECTORS, shaped, table_schema, vector_width
from storage.catalog_indexes import WORDS, Upkeep, index_vectors, index_words, tidy
from storage.catalog_search import not_understood, search_vectors, search_words, select_rows
from storage.catalog_tables import Tables, schema_of
from storage.errors import NotFound, UsageError
from storage.layout import Root
from storage.schema import key_of, light, to_table

_TRIES = 20
_BATCH = 4096


class Catalog:
    """The tables under one root; they are made on first use.

    Args:
        root: the data root (or a path to it).
        upkeep: when tables are tidied.
    """

    def __init__(self, root: Root | str | os.PathLike[str], upkeep: Upkeep | None = None) -> None:
        self.path = Root(root).catalog
        self._tables = Tables(self.path)
        self.upkeep = upkeep or Upkeep()

    def upsert(self, table: str, rows: Iterable[Mapping[str, Any]] | Mapping[str, Any]) -> int:
        """Write rows by their key, replacing rows of the same key; heavy columns are left out. Returns how many.

        Of several rows with one key the last counts.

        Raises:
            UsageError: there is no such table, or a row has no key.
            KeyError, TypeError: a column or a value that the schema does not have.
        """
        schema = schema_of(table)
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
        target = self._tables.prepare(table, widths)
        table_schema = target.schema
        data = shaped(plain, table_schema)
        self._merge(target, key, data)
        tidy(target, table, self._tables.lock(table, "indexes"), self.upkeep)
        return len(last)

    def _merge(self, target: Any, key: str, data: pa.Table) -> None:
        for attempt in range(_TRIES):
            try:
                merge = target.merge_insert(key).when_matched_update_all().when_not_matched_insert_all()
                # LanceDB takes a missing vector for a bad one; here it is a row that has none (nothing was measured).
                merge.execute(data, on_bad_vectors="null")
                return
            except (RuntimeError, OSError) as error:
                # Many writers at once: Lance gives up after ten conflicts in a row. The upsert can simply be repeated.
                if "onflict" not in str(error) or attempt == _TRIES - 1:
                    raise
                target.checkout_latest()

    def rows(
        self,
        table: str,
        where: str | None = None,
        limit: int | None = None,
        columns: Sequence[str] | None = None,
        *,
        order_by: str | None = None,
        at: int | str | None = None,
    ) -> list[dict[str, Any]]:
        """Rows of a table that satisfy `where` (SQL, e.g. ``status = 'ok' AND sync_confidence > 3``).

        Args:
            limit: at most so many.
            columns: those wanted; default: all.
            order_by: a column, ``-created`` for the largest first; rows without a value come last.
            at: a version or tag: the rows as they were then.

        Raises:
            UsageError: there is no such table, or `where` cannot be understood.
            NotFound: there is no such version.
        """
        target = self._tables.find(table, at)
        if target is None:
            return []
        found = select_rows(target, table, where, limit, columns, order_by).to_pylist()
        if columns is None:
            # A vector column exists from the first vector on; for those who read rows it is null before that.
            missing = [name for name in light(schema_of(table)).names if name not in target.schema.names]
            found = [{**entry, **dict.fromkeys(missing)} for entry in found]
        return found

    def each(self, table: str, where: str | None, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Columns of the rows that satisfy `where`, a few thousand held at a time.

        Raises:
            UsageError: there is no such table.
        """
        for batch in self.batches(table, where, columns):
            yield from batch.to_pylist()

    def batches(
        self, table: str, where: str | None = None, columns: Sequence[str] | None = None, at: int | str | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows that satisfy `where`, as Arrow batches of at most a few thousand; none for a table without rows.

        Raises:
            UsageError: there is no such table, or `where` cannot be understood.
            NotFound: there is no such version.
        """
        target = self._tables.find(table, at)
        if target is None:
            return
        query = target.search()
        if where:
            query = query.where(where)
        if columns is not None:
            query = query.select(list(columns))
        try:
            yield from query.limit(max(1, target.count_rows())).to_batches(_BATCH)
        except (ValueError, RuntimeError) as error:
            raise not_understood(table, error) from error

    def get(self, table: str, id: str) -> dict[str, Any] | None:
        """The row with this key, or the only one whose key begins with it; None if there is none or several."""
        key = key_of(schema_of(table))
        found = self.rows(table, f"{key} = '{_quoted(id)}'", 1)
        if not found and id:
            found = self.rows(table, f"starts_with({key}, '{_quoted(id)}')", 2)
        return found[0] if len(found) == 1 else None

    def count(self, table: str, where: str | None = None) -> int:
        """Number of rows that satisfy `where`."""
        target = self._tables.find(table)
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
        columns: Sequence[str] | None = None,
    ) -> list[dict[str, Any]]:
        """The nearest rows, best first; all their columns but the vectors, or those of `columns`.

        Args:
            vector: unit vector [D]: by cosine, over `column` (``caption_embedding``, or ``identity`` for a face); rows
                get ``_score``, the cosine.
            text: words to be found in captions and in what is said, for renders and sources also in the names of their
                files (`WORDS`); rows get ``_score`` (BM25).
            where: SQL that rows must satisfy too. Without `vector` and `text` this is `rows`.

        Raises:
            UsageError: no such table or column, both `vector` and `text`, or another length than the table's vectors.
        """
        if vector is not None and text is not None:
            raise UsageError("a search is by vector or by words, not by both", "give one of them")
        target = self._tables.find(table)
        if target is None:
            return []
        if vector is not None:
            found = search_vectors(target, table, vector, column, where, limit, columns)
            rows = found.to_pylist() if found is not None else []
            for entry in rows:
                entry["_score"] = 1.0 - entry.pop("_distance")
            return rows
        if text is None:
            return self.rows(table, where, limit, columns)
        if table not in WORDS:
            raise UsageError(f"{table} has no text to search", f"search {', '.join(WORDS)}")
        index_words(target, table, self._tables.lock(table, "indexes"))
        return search_words(target, table, text, where, limit, columns).to_pylist()

    def delete(self, table: str, where: str) -> None:
        """Remove the rows that satisfy `where`."""
        target = self._tables.find(table)
        if target is not None:
            target.delete(where)

    def columns(self, table: str, at: int | str | None = None) -> pa.Schema:
        """Its columns as they are (or were) stored; those of its schema for a table without rows."""
        target = self._tables.find(table, at)
        return table_schema(schema_of(table), {}) if target is None else target.schema

    def version(self, table: str) -> int:
        """Number of the table's newest version; every write makes one. 0 for a table without rows."""
        target = self._tables.find(table)
        return 0 if target is None else int(target.version)

    def tag(self, table: str, name: str, version: int | None = None) -> int:
        """Name a version of a table, the newest if none is given (moving the name where it exists), which keeps it;
        returns its number."""
        target = self._tables.find(table)
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
        target = self._tables.find(table)
        return {} if target is None else {name: int(tag["version"]) for name, tag in target.tags.list().items()}

    def versions(self, table: str) -> list[dict[str, Any]]:
        """What is kept of a table, newest first: version, when it was made, its tags. Versions without a tag go a week
        after they were replaced."""
        target = self._tables.find(table)
        if target is None:
            return []
        names: dict[int, list[str]] = {}
        for name, version in self.tags(table).items():
            names.setdefault(version, []).append(name)
        kept = [
            {"table": table, "version": int(entry["version"]), "created": entry["timestamp"].astimezone(datetime.UTC),
             "tags": ", ".join(sorted(names.get(int(entry["version"]), [])))}
            for entry in target.list_versions()
        ]  # fmt: skip
        return sorted(kept, key=lambda entry: -entry["version"])

    def untag(self, table: str, name: str) -> None:
        """Forget a tag; the version goes with the other old ones.

        Raises:
            NotFound: there is no such tag.
        """
        if name not in self.tags(table):
            raise NotFound(f"{table} has no tag {name!r}", "see `dubwright catalog versions`")
        self._tables.find(table).tags.delete(name)

    def rows_at(self, table: str, version: int | str, where: str | None = None) -> list[dict[str, Any]]:
        """Rows as they were at a version or tag.

        Raises:
            NotFound: there is no such version.
        """
        return self.rows(table, where, at=version)

    def optimize(self, table: str) -> None:
        """Join small parts and make or renew every index, due or not; versions with a tag survive."""
        target = self._tables.find(table)
        if target is None:
            return
        lock = self._tables.lock(table, "indexes")
        if table in WORDS:
            index_words(target, table, lock)
        with FileLock(lock, timeout_s=600):
            target.checkout_latest()
            index_vectors(target, self.upkeep)
            target.optimize()


def _quoted(text: str) -> str:
    return text.replace("'", "''")
