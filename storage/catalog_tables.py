"""The tables themselves: found, opened, made where they are missing, and given the columns that rows bring."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa

from storage.atomic import FileLock
from storage.catalog_columns import misfits, table_schema
from storage.errors import NotFound, UsageError
from storage.schema import SCHEMAS, key_of


class Tables:
    """LanceDB tables in one folder, each opened once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: dict[str, Any] = {}

    @functools.cached_property
    def _database(self) -> lancedb.DBConnection:
        self.path.mkdir(parents=True, exist_ok=True)
        return lancedb.connect(str(self.path))

    def lock(self, table: str, what: str = "") -> Path:
        """The lock file for what only one process may do to a table."""
        return self.path / f".{table}{'.' + what if what else ''}.lock"

    def find(self, table: str, at: int | str | None = None) -> Any:
        """The newest version of a table, None while it has no rows; or the version (or tag) `at`.

        Raises:
            UsageError: there is no such table.
            NotFound: there is no such version.
        """
        schema_of(table)
        if not (self.path / f"{table}.lance").is_dir():
            if at is not None:
                raise NotFound(f"{table} has no version {at}", "see `dubwright catalog versions`")
            return None
        if at is None:
            return self._newest(table)
        target = self._database.open_table(table)
        try:
            target.checkout(at)
        except (ValueError, RuntimeError) as error:
            raise NotFound(f"{table} has no version {at}", "see `dubwright catalog versions`") from error
        return target

    def _newest(self, table: str) -> Any:
        # A table that stays open keeps what it has read of its indexes: a search takes a fifth of the time.
        if table in self._opened:
            try:
                self._opened[table].checkout_latest()
            except (ValueError, RuntimeError, OSError):  # it was removed and made again meanwhile
                del self._opened[table]
        if table not in self._opened:
            self._opened[table] = self._database.open_table(table)
        return self._opened[table]

    def prepare(self, table: str, widths: Mapping[str, int]) -> Any:
        """The table, made where it is missing, with vector columns of these widths (0: not known yet)."""
        wanted = table_schema(schema_of(table), widths)
        target: Any = self.find(table)
        key = key_of(schema_of(table))
        if target is not None and _is_keyed(target, key) and not misfits(target.schema, wanted):
            return target
        with FileLock(self.lock(table), timeout_s=120):
            target = self.find(table)
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


def schema_of(table: str) -> pa.Schema:
    """The schema of a table. Raises `UsageError` where there is no such table."""
    try:
        return SCHEMAS[table]
    except KeyError:
        raise UsageError(f"the catalog has no table {table}", f"use {', '.join(SCHEMAS)}") from None


def _is_keyed(target: Any, key: str) -> bool:
    """Whether Lance knows the key: a table that another process makes just now, or died over, has none yet."""
    metadata = target.schema.field(key).metadata or {}
    return any(name.startswith(b"lance-schema:unenforced-primary-key") for name in metadata)
