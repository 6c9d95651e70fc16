"""`dubwright catalog …`: find clips, renders, sources, models and runs; export them; report on them."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.command import command, listing
from flows.console import cell, table
from flows.options import Options
from storage.errors import NotFound, UsageError

if TYPE_CHECKING:
    from storage.catalog import Catalog

Outcome = tuple[dict[str, Any], str, int]
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
SHOWN = {
    "clips": ("clip_id", "status", "split", "speaker", "caption", "emotion", "sync_confidence", "num_frames", "reason"),
    "renders": ("render_id", "status", "output_uri", "caption", "sync_confidence_after", "outside_psnr_db", "reason"),
    "sources": ("source_id", "status", "uri", "duration_s", "clips_ok", "clips_rejected", "reason"),
    "models": (
        "model_id", "name", "version", "stage", "promoted", "dataset_id",
        "train_steps", "train_loss", "train_loss_start", "train_rate",
    ),
    "runs": ("run_id", "status", "started", "seconds", "report"),
}  # fmt: skip
VECTOR_COLUMNS = {"identity", "caption_embedding"}


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    catalog = typer.Typer(help="Find and export what was made.", no_args_is_help=True, rich_markup_mode=None)
    command(catalog, "search")(search)
    command(catalog, "list")(listed)
    command(catalog, "show")(show)
    command(catalog, "export")(export)
    command(catalog, "versions")(versions)
    command(catalog, "tag")(tag)
    command(catalog, "report")(report)
    app.add_typer(catalog, name="catalog")


def search(
    options: Options,
    text: Annotated[str | None, typer.Argument(help='A feeling or manner in words: "quietly happy".')] = None,
    face: Annotated[Path | None, typer.Option("--face", help="A picture or film: rows with this face.")] = None,
    words: Annotated[
        str | None,
        typer.Option("--words", help="Words of the caption, of what is said, or of a render's or source's file name."),
    ] = None,
    kind: Table = "clips",
    emotion: Emotion = None,
    since: Since = None,
    until: Until = None,
    model: Model = None,
    status: Status = None,
    where: Where = None,
    limit: Limit = 20,
) -> Outcome:
    """The nearest clips or renders: by meaning, by face, by words; by emotion, date, model and any measure."""
    from storage.catalog import Catalog
    from tasks.queries import Filter

    started = time.monotonic()
    given = [name for name, value in (("TEXT", text), ("--face", face), ("--words", words)) if value]
    if len(given) > 1:
        raise UsageError(
            f"search takes one of TEXT, --face and --words, not {' and '.join(given)}", "combine one with --where"
        )
    catalog = Catalog(options.place())
    asked = Filter(where, emotion, since, until, model, status).sql(_known(kind), catalog)
    columns = _columns(catalog, kind, options)
    if text:
        from tasks.queries import embed_text

        vector = embed_text(text, options.config())
        found = catalog.search(kind, vector=vector, where=asked, limit=limit, columns=columns)
    elif face:
        from tasks.queries import embed_face

        vector = embed_face(face, options.config())
        found = catalog.search(kind, vector=vector, column="identity", where=asked, limit=limit, columns=columns)
    else:
        found = catalog.search(kind, text=words, where=asked, limit=limit, columns=columns)
    result, shown, code = _rows(kind, found, started, ("_score",) if given else ())
    if not found and (text or face) and (rows := catalog.count(kind)):
        needed = "a caption" if text else "a measured face"
        shown = f"nothing found: of the {rows} {kind} only those with {needed} are compared; see `catalog list`"
    return result, shown, code


def listed(
    options: Options,
    kind: Table = "renders",
    emotion: Emotion = None,
    since: Since = None,
    until: Until = None,
    model: Model = None,
    status: Status = None,
    where: Where = None,
    sort: Sort = None,
    at: At = None,
    limit: Limit = 50,
) -> Outcome:
    """Rows of a table, as they are or were."""
    from storage.catalog import Catalog
    from tasks.queries import Filter

    started = time.monotonic()
    catalog = Catalog(options.place())
    asked = Filter(where, emotion, since, until, model, status).sql(_known(kind), catalog)
    columns = _columns(catalog, kind, options) if at is None else None
    found = catalog.rows(kind, asked, limit, columns, order_by=sort, at=_version(at))
    return _rows(kind, found, started)


def show(
    options: Options, id: Annotated[str, typer.Argument(help="An id or its beginning, or a rendered file.")]
) -> Outcome:
    """One row whole; for a render also its chain back to model, dataset version and sources."""
    from storage.catalog import Catalog
    from storage.provenance import lineage

    started = time.monotonic()
    catalog = Catalog(options.place())
    found = {name: row for name in TABLES if (row := catalog.get(name, id)) is not None}
    if not found or "renders" in found:
        chain = lineage(options.place(), id)
        result = listing([{"id": chain["render"]["render_id"], "table": "renders", **_light(chain["render"])}], started)
        result["lineage"] = {**chain, "render": chain["render"]["render_id"], "model": _light(chain["model"] or {}),
                             "ancestors": [_light(entry) for entry in chain["ancestors"]]}  # fmt: skip
        return result, _facts(chain["render"]) + "\n\n" + _chain(chain), 0
    if len(found) > 1:
        raise NotFound(f"{id!r} begins ids of {', '.join(found)}", "give more digits")
    name, row = next(iter(found.items()))
    return listing([{"id": id, "table": name, **_light(row)}], started), _facts(row), 0


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
    asked = Filter(where, emotion, since, until, model, status).sql(_known(kind), catalog)
    rows = export_rows(catalog.batches(kind, asked, at=_version(at)), catalog.columns(kind, _version(at)), out)
    result = listing([{"id": out.name, "output": str(out), "rows": rows}], started)
    return result, f"{out}: {rows} rows", 0


def versions(options: Options, kind: Table = "renders", limit: Limit = 50) -> Outcome:
    """The versions of a table that are kept, newest first, with their tags."""
    from storage.catalog import Catalog

    started = time.monotonic()
    kept = Catalog(options.place()).versions(_known(kind))[:limit]
    items = [{"id": f"{kind}@{entry['version']}", **_light(entry)} for entry in kept]
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
    kinds = [_known(kind)] if kind else [name for name in TABLES if catalog.version(name)]
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


def report(
    options: Options,
    where: Where = None,
    run_id: Annotated[str | None, typer.Option("--run", help="Renders of one run.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--output", help="Folder; default: under ROOT/runs.")] = None,
) -> Outcome:
    """An HTML report of renders that are in the catalog."""
    from flows.run import Run
    from storage.catalog import Catalog

    if run_id:
        where = f"run_id = '{run_id.replace(chr(39), '')}'" + (f" AND ({where})" if where else "")
    rows = Catalog(options.place()).rows("renders", where)
    if not rows:
        raise NotFound(
            f"no renders in {options.place()}" + (f" where {where}" if where else ""), "see `dubwright catalog list`"
        )
    run = Run("report", options.config(), {"where": where}, place=out)
    run.show(renders=rows, lineage={"renders": len(rows), "where": where})
    result = run.finish()
    return result, f"{len(rows)} renders\nreport: {result['report']}", 0


def _known(kind: str) -> str:
    if kind not in TABLES:
        raise UsageError(f"there is no table {kind!r}", f"choose one of: {', '.join(TABLES)}")
    return kind


def _version(at: str | None) -> int | str | None:
    return int(at) if at is not None and at.isdigit() else at


def _columns(catalog: Catalog, kind: str, options: Options) -> list[str]:
    """Those that are shown; for a program all but the vectors."""
    stored = [name for name in catalog.columns(kind).names if name not in VECTOR_COLUMNS]
    return stored if options.json else [name for name in SHOWN[kind] if name in stored]


def _rows(kind: str, rows: list[dict[str, Any]], started: float, more: tuple[str, ...] = ()) -> Outcome:
    columns = [name for name in (*more, *SHOWN[kind]) if any(row.get(name) is not None for row in rows)]
    items = [{"id": row[SHOWN[kind][0]], **_light(row)} for row in rows]
    return listing(items, started), table(rows, columns), 0


def _light(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime.datetime) else value
        for name, value in row.items()
        if name not in VECTOR_COLUMNS
    }


def _facts(row: dict[str, Any]) -> str:
    return "\n".join(f"{name}: {cell(value)}" for name, value in _light(row).items() if value not in (None, ""))


def _chain(chain: dict[str, Any]) -> str:
    model, dataset = chain["model"] or {}, chain["dataset"] or {}
    lines = [
        f"model: {model.get('name', '')}@{model.get('version', '')} {model.get('model_id', 'unknown')}",
        *(f"  started from {entry['name']}@{entry['version']} {entry['model_id']}" for entry in chain["ancestors"]),
        f"dataset: {dataset.get('dataset_id', 'not in this root')}, {chain['clips']} clips",
        *(f"  {source['uri']} ({source['clips']} clips)" for source in chain["sources"]),
        *(f"missing: {line}" for line in chain["missing"]),
    ]
    return "\n".join(lines)
