"""`dubwright models …`: the model registry; and the commands of `flows.cli_dataset` beside it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import cli_dataset
from flows.command import command, listing
from flows.console import cell, say, table
from flows.options import Options
from storage.errors import UsageError

Outcome = tuple[dict[str, Any], str, int]
ModelSpec = Annotated[str, typer.Argument(help="A model id or its beginning, NAME (its champion), or NAME@VERSION.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    cli_dataset.add_to(app)
    models = typer.Typer(help="The model registry.", no_args_is_help=True, rich_markup_mode=None)
    command(models, "list")(models_list)
    command(models, "show")(models_show)
    command(models, "promote")(models_promote)
    command(models, "rollback")(models_rollback)
    command(models, "import")(models_import)
    app.add_typer(models, name="models")


def models_list(
    options: Options, name: Annotated[str | None, typer.Argument(help="One model line; default: all.")] = None
) -> Outcome:
    """The model versions; the champions are marked."""
    started = time.monotonic()
    return _models(_registry(options).models(name), started)


def models_show(options: Options, model: ModelSpec) -> Outcome:
    """One model: where it came from, and its metrics."""
    from tasks.imports import read_origin

    started = time.monotonic()
    registry = _registry(options)
    row = registry.show(model)
    metrics, origin = json.loads(row["metrics"] or "{}"), read_origin(registry.path(row["model_id"]))
    result = listing([{"id": row["model_id"], **row, "metrics": metrics}], started, origin=origin)
    lines = [f"{name}: {cell(value)}" for name, value in row.items() if name != "metrics" and value not in (None, "")]
    return result, "\n".join(lines) + "\n\nmetrics: " + json.dumps(metrics, indent=2) + _origin_text(origin), 0


def models_promote(
    options: Options,
    model: ModelSpec,
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")] = "by hand",
) -> Outcome:
    """Make a model the champion of its line."""
    started = time.monotonic()
    registry = _registry(options)
    return _models([registry.show(registry.promote(model, reason))], started)


def models_rollback(
    options: Options,
    name: Annotated[str, typer.Argument(help="The model line.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")] = "by hand",
) -> Outcome:
    """Make the champion before the present one the champion again."""
    started = time.monotonic()
    registry = _registry(options)
    return _models([registry.show(registry.rollback(name, reason))], started)


def models_import(
    options: Options,
    source: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER | latentsync FILE | musetalk FILE",
            help="A folder that save_pretrained wrote (safetensors or ONNX only); or a public checkpoint: what it is, "
            "and its file.",
        ),
    ],
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="The checkpoint's U-Net.")] = None,
    vae: Annotated[
        Path | None,
        typer.Option("--vae", help="Folder of a checkpoint's autoencoder; default: sd_vae_ft_mse under the root."),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option("--size", help="Side of a checkpoint's crops, 256 or 512; default: that of the published file."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="The model line; default: that of the profile.")] = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights; default: a published file's own.")] = "",
    promote: Annotated[bool, typer.Option("--promote", help="Make it the champion.")] = False,
) -> Outcome:
    """Copy a model into the registry: a saved pipeline, or LatentSync's or MuseTalk's published checkpoint."""
    from storage.registry import Registry
    from tasks.imports import LOADERS, import_checkpoint, read_origin

    started = time.monotonic()
    config = options.config()
    if file is not None or (source in LOADERS and not Path(source).is_dir()):
        if file is None:
            raise UsageError(f"models import {source} needs its FILE", "`dubwright --profile sd15 doctor` names them")
        model_id = import_checkpoint(
            source, file, config, vae=vae, name=name, licence=licence, size=size, tell=lambda text: say(f"  {text}")
        )
    elif vae is not None or size is not None:
        raise UsageError("--vae and --size go with latentsync FILE or musetalk FILE", "a saved pipeline has its own")
    else:
        registry = Registry(options.place().create())
        model_id = registry.register(source, name or config.model.name, stage="imported", licence=licence)
    registry = Registry(options.place())
    if promote:
        registry.promote(model_id, "imported")
    result, text, code = _models([registry.show(model_id)], started)
    origin = read_origin(registry.path(model_id))
    return {**result, "origin": origin}, text + _origin_text(origin), code


def _origin_text(origin: dict[str, Any] | None) -> str:
    """What a public checkpoint was, for people; empty for other models."""
    return "" if origin is None else "\n\norigin: " + json.dumps(origin, indent=2)


def _registry(options: Options) -> Any:
    """The registry; on a fresh root it holds the shipped model."""
    from storage.registry import Registry
    from tasks.champion import ensure_champion

    registry = Registry(options.place().create())
    ensure_champion(registry, options.config().model.name)
    return registry


def _models(rows: list[dict[str, Any]], started: float) -> Outcome:
    shown = [
        {"model": f"{row['name']}@{row['version']}", "id": row["model_id"], "champion": row["promoted"],
         "stage": row["stage"], "trained on": row["dataset_id"], "MB": round((row["bytes"] or 0) / 1e6, 1)}
        for row in rows
    ]  # fmt: skip
    items = [{"id": row["model_id"], **row, "metrics": json.loads(row["metrics"] or "{}")} for row in rows]
    return listing(items, started), table(shown), 0
