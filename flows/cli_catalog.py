"""`dubwright catalog …`: find clips, renders, sources, models and runs; export them; report on them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows import cli_catalog_files
from flows.catalog_options import (
    TABLES,
    VECTOR_COLUMNS,
    At,
    Emotion,
    Limit,
    Model,
    Since,
    Sort,
    Status,
    Table,
    Until,
    Where,
    known,
    light_row,
    version_of,
)  # fmt: skip
from flows.command import command, listing
from flows.console import cell, table
from flows.options import Options
from storage.errors import NotFound, UsageError

if TYPE_CHECKING:
    from storage.catalog import Catalog

Outcome = tuple[dict[str, Any], str, int]
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


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    catalog = typer.Typer(help="Find and export what was made.", no_args_is_help=True, rich_markup_mode=None)
    command(catalog, "search")(search)
    command(catalog, "list")(listed)
    command(catalog, "show")(show)
    command(catalog, "uses")(uses)
    command(catalog, "report")(report)
    cli_catalog_files.add_to(catalog)
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
    asked = Filter(where, emotion, since, until, model, status).sql(known(kind), catalog)
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
    asked = Filter(where, emotion, since, until, model, status).sql(known(kind), catalog)
    columns = _columns(catalog, kind, options) if at is None else None
    found = catalog.rows(kind, asked, limit, columns, order_by=sort, at=version_of(at))
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
        result = listing(
            [{"id": chain["render"]["render_id"], "table": "renders", **light_row(chain["render"])}], started
        )
        result["lineage"] = {**chain, "render": chain["render"]["render_id"], "model": light_row(chain["model"] or {}),
                             "ancestors": [light_row(entry) for entry in chain["ancestors"]]}  # fmt: skip
        return result, _facts(chain["render"]) + "\n\n" + _chain(chain), 0
    if len(found) > 1:
        raise NotFound(f"{id!r} begins ids of {', '.join(found)}", "give more digits")
    name, row = next(iter(found.items()))
    return listing([{"id": id, "table": name, **light_row(row)}], started), _facts(row), 0


def uses(
    options: Options,
    origin: Annotated[str, typer.Argument(help="A source (id or path), a dataset NAME@VERSION, or a model.")],
) -> Outcome:
    """What was made from it: dataset versions, models trained on those, and their renders."""
    from storage.descent import descent

    started = time.monotonic()
    found = descent(options.place(), origin)
    items = [{"id": row["render_id"], **light_row(row)} for row in found["renders"]]
    result = listing(items, started, **{name: found[name] for name in ("origin", "datasets", "missing")})
    result["models"] = [light_row(row) for row in found["models"]]
    lines = [f"{found['origin']['kind']} {found['origin']['id']}"]
    lines += [f"  dataset {row['dataset_id']}: {row['clips']} clips" for row in found["datasets"]]
    lines += [f"  model {row['name']}@{row['version']} {row['model_id']}" for row in found["models"]]
    lines += [
        f"  render {row['output_uri'] or row['render_id']} (through the {row['through']})" for row in found["renders"]
    ]
    lines += [f"  missing: {line}" for line in found["missing"]]
    return result, "\n".join(lines), 0


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


def _columns(catalog: Catalog, kind: str, options: Options) -> list[str]:
    """Those that are shown; for a program all but the vectors."""
    stored = [name for name in catalog.columns(kind).names if name not in VECTOR_COLUMNS]
    return stored if options.json else [name for name in SHOWN[kind] if name in stored]


def _rows(kind: str, rows: list[dict[str, Any]], started: float, more: tuple[str, ...] = ()) -> Outcome:
    columns = [name for name in (*more, *SHOWN[kind]) if any(row.get(name) is not None for row in rows)]
    items = [{"id": row[SHOWN[kind][0]], **light_row(row)} for row in rows]
    return listing(items, started), table(rows, columns), 0


def _facts(row: dict[str, Any]) -> str:
    return "\n".join(f"{name}: {cell(value)}" for name, value in light_row(row).items() if value not in (None, ""))


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
