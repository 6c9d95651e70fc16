"""`dubwright catalog …`, what is kept and what is handed on: versions and tags, exported files, the page to browse."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.catalog_options import (
    TABLES,
    At,
    Emotion,
    Limit,
    Model,
    Since,
    Status,
    Table,
    Until,
    Where,
    known,
    light_row,
    version_of,
)  # fmt: skip
from flows.command import command, listing
from flows.console import table
from flows.options import Options
from storage.errors import NotFound, UsageError

Outcome = tuple[dict[str, Any], str, int]


def add_to(catalog: typer.Typer) -> None:
    """Register the commands beside the others of `catalog`."""
    command(catalog, "export")(export)
    command(catalog, "versions")(versions)
    command(catalog, "tag")(tag)
    command(catalog, "page")(page)


def export(
    options: Options,
    out: Annotated[Path, typer.Argument(help="FILE.parquet (with the vectors), FILE.csv or FILE.jsonl.")],
    kind: Table = "clips",
    emotion: Emotion = None,
    since: Since = None,
    until: Until = None,
    model: Model = None,
    status: Status = None,
    where: Where = None,
    at: At = None,
) -> Outcome:
    """Rows of a table as Parquet, CSV or JSON lines."""
    from storage.catalog import Catalog
    from storage.catalog_export import check_format, export_rows
    from tasks.queries import Filter

    started = time.monotonic()
    check_format(out)
    catalog = Catalog(options.place())
    asked = Filter(where, emotion, since, until, model, status).sql(known(kind), catalog)
    rows = export_rows(catalog.batches(kind, asked, at=version_of(at)), catalog.columns(kind, version_of(at)), out)
    result = listing([{"id": out.name, "output": str(out), "rows": rows}], started)
    return result, f"{out}: {rows} rows", 0


def versions(options: Options, kind: Table = "renders", limit: Limit = 50) -> Outcome:
    """The versions of a table that are kept, newest first, with their tags."""
    from storage.catalog import Catalog

    started = time.monotonic()
    kept = Catalog(options.place()).versions(known(kind))[:limit]
    items = [{"id": f"{kind}@{entry['version']}", **light_row(entry)} for entry in kept]
    return listing(items, started), table(kept, ("version", "created", "tags")), 0


def tag(
    options: Options,
    name: Annotated[str, typer.Argument(help="The name: before-recut.")],
    kind: Annotated[str | None, typer.Option("--table", "-t", help="This table alone; default: all.")] = None,
    version: Annotated[int | None, typer.Option("--version", help="A version of --table; default: the newest.")] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Forget the name.")] = False,
) -> Outcome:
    """Name the catalog as it is now, which keeps that version: `list --at NAME`, `export --at NAME`."""
    from storage.catalog import Catalog

    started = time.monotonic()
    catalog = Catalog(options.place())
    if version is not None and kind is None:
        raise UsageError("--version numbers the versions of one table", "name it with --table")
    kinds = [known(kind)] if kind else [name for name in TABLES if catalog.version(name)]
    if not kinds:
        raise NotFound(f"the catalog of {options.place()} has no rows yet", "write some first")
    items: list[dict[str, Any]] = []
    for each in kinds:
        if delete:
            if kind or name in catalog.tags(each):
                catalog.untag(each, name)
                items.append({"id": each, "tag": name, "version": None})
        else:
            items.append({"id": each, "tag": name, "version": catalog.tag(each, name, version)})
    if not items:
        raise NotFound(f"no table has the tag {name!r}", "see `dubwright catalog versions`")
    told = [
        f"{entry['id']}: {name} " + ("forgotten" if delete else f"is version {entry['version']}") for entry in items
    ]
    return listing(items, started), "\n".join(told), 0


def page(
    options: Options,
    out: Annotated[Path | None, typer.Option("-o", "--output", help="Folder; default: ROOT/browse.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="The newest rows of each table.")] = 20_000,
) -> Outcome:
    """A page to browse renders and clips: players, before and after, search and filters; needs no server."""
    from tasks.browse import catalog_page

    started = time.monotonic()
    made = catalog_page(options.place(), out, limit)
    told = [f"{made.shown[name]} of {made.held[name]} {name}" for name in made.shown]
    result = listing([{"id": str(made.page), "output": str(made.page), "rows": made.shown}], started)
    return {**result, "report": str(made.page)}, f"{', '.join(told)}\npage: {made.page}", 0
