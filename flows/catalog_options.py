"""What the commands of `dubwright catalog` share: their options, and rows as they are shown."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

import typer

from storage.errors import UsageError

TABLES = ("clips", "renders", "sources", "models", "runs")
Table = Annotated[str, typer.Option("--table", "-t", help="clips, renders, sources, models or runs.")]
Where = Annotated[str | None, typer.Option("--where", help="SQL, e.g. \"status = 'ok' AND sync_confidence > 3\".")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many rows.")]
Emotion = Annotated[str | None, typer.Option("--emotion", help="Rows with this emotion: happy, sad, angry, …")]
Since = Annotated[str | None, typer.Option("--since", help="Made from then on: 2026-11-21, 2026-11-21T18:30, 12h, 7d.")]
Until = Annotated[str | None, typer.Option("--until", help="Made up to then; a date counts whole. UTC.")]
Model = Annotated[str | None, typer.Option("--model", help="Made by this model: NAME, NAME@VERSION or an id.")]
Status = Annotated[str | None, typer.Option("--status", help="ok, rejected or failed.")]
Sort = Annotated[str | None, typer.Option("--sort", help="A column; -COLUMN for the largest first: -created.")]
At = Annotated[str | None, typer.Option("--at", help="The rows as they were at a tag or version number.")]
VECTOR_COLUMNS = {"identity", "caption_embedding"}


def known(kind: str) -> str:
    """The name of a table. Raises `UsageError` for another."""
    if kind not in TABLES:
        raise UsageError(f"there is no table {kind!r}", f"choose one of: {', '.join(TABLES)}")
    return kind


def version_of(at: str | None) -> int | str | None:
    """A version number, or a tag as it is."""
    return int(at) if at is not None and at.isdigit() else at


def light_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row for a program: without vectors, times as text."""
    return {
        name: value.isoformat() if isinstance(value, datetime.datetime) else value
        for name, value in row.items()
        if name not in VECTOR_COLUMNS
    }
