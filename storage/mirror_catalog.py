"""A table of the catalog that changed in the store: brought here whole, and given the rows that only this side has."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from storage.atomic import FileLock
from storage.catalog import Catalog
from storage.errors import NotFound
from storage.layout import Root
from storage.schema import SCHEMAS, key_of

Rows = list[dict[str, Any]]
_LOCK_S = 600.0


def own_rows(root: Root, table: str, since: int | None) -> Rows:
    """Rows of the table here that are new or other than they were at version `since`; all where that is not known."""
    catalog = Catalog(root)
    key = key_of(SCHEMAS[table])
    before: dict[Any, dict[str, Any]] = {}
    if since:
        try:
            before = {row[key]: row for row in catalog.rows_at(table, since)}
        except NotFound:  # it was tidied away: every row counts as this side's
            before = {}
    return [row for row in catalog.rows(table) if before.get(row[key]) != row]


def put_back(root: Root, table: str, rows: Rows) -> int:
    """Write rows into the table that was brought; returns the version that it had then: the one of both sides."""
    catalog = Catalog(root)
    version = catalog.version(table)
    if rows:
        catalog.upsert(table, [{name: row.get(name) for name in SCHEMAS[table].names if name in row} for row in rows])
    return version


@contextmanager
def swapped_in(folder: Path) -> Iterator[Path]:
    """An empty folder to fill, which then takes the place of `folder`. No other process here tidies it meanwhile."""
    aside = folder.with_name(f".{folder.name}.brought")
    old = folder.with_name(f".{folder.name}.old")
    with FileLock(folder.with_name(f".{folder.stem}.indexes.lock"), _LOCK_S):
        for left in (aside, old):
            shutil.rmtree(left, ignore_errors=True)
        aside.mkdir(parents=True)
        yield aside
        if folder.exists():
            folder.rename(old)
        aside.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
