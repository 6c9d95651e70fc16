"""Commands that look things up or move pointers: `dubwright dataset …` and `dubwright models …`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.command import command, listing
from flows.console import cell, say, table
from flows.options import Options
from storage.errors import UsageError

Outcome = tuple[dict[str, Any], str, int]
Spec = Annotated[str, typer.Argument(help="NAME, NAME@VERSION or NAME@TAG.")]
ModelSpec = Annotated[str, typer.Argument(help="A model id or its beginning, NAME (its champion), or NAME@VERSION.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    dataset = typer.Typer(help="The versions of a dataset.", no_args_is_help=True, rich_markup_mode=None)
    command(dataset, "list")(dataset_list)
    command(dataset, "show")(dataset_show)
    command(dataset, "diff")(dataset_diff)
    command(dataset, "checkout")(dataset_checkout)
    command(dataset, "tag")(dataset_tag)
    models = typer.Typer(help="The model registry.", no_args_is_help=True, rich_markup_mode=None)
    command(models, "list")(models_list)
    command(models, "show")(models_show)
    command(models, "promote")(models_promote)
    command(models, "rollback")(models_rollback)
    command(models, "import")(models_import)
    app.add_typer(dataset, name="dataset")
    app.add_typer(models, name="models")


def dataset_list(
    options: Options, name: Annotated[str | None, typer.Argument(help="One dataset; default: all.")] = None
) -> Outcome:
    """The versions, oldest first."""
    from storage.versions import list_versions

    started = time.monotonic()
    return _versions(list_versions(options.place(), name), started)


def dataset_show(options: Options, spec: Spec) -> Outcome:
    """One version: what it holds, what it was made from, why clips were left out."""
    from storage.shards import read_rows
    from storage.versions import checkout_version, describe_version, show_version

    started = time.monotonic()
    version = show_version(options.place(), spec)
    folder = checkout_version(options.place(), version.dataset_id, make_current=False).path
    columns = ["status", "stage", "measure", "split", "num_frames", "fps"]
    reasons: dict[tuple[str, str, str], int] = {}
    frames: dict[str, int] = {}
    for row in read_rows(folder, columns):
        if row["status"] == "ok":
            frames[row["split"] or ""] = frames.get(row["split"] or "", 0) + (row["num_frames"] or 0)
        else:
            key = (row["status"], row["stage"] or "", row["measure"] or "")
            reasons[key] = reasons.get(key, 0) + 1
    left_out = [{"status": s, "stage": g, "measure": m, "rows": n} for (s, g, m), n in sorted(reasons.items())]
    facts = describe_version(version)
    result = listing([{"id": version.dataset_id, **facts}], started, left_out=left_out, frames=frames)
    lines = [f"{name}: {cell(value)}" for name, value in facts.items() if name not in ("counts",)]
    lines.append("rows by status: " + ", ".join(f"{count} {status}" for status, count in version.counts.items()))
    lines.append("frames kept by split: " + ", ".join(f"{count} {split}" for split, count in sorted(frames.items())))
    return result, "\n".join(lines) + (f"\n\nleft out:\n{table(left_out)}" if left_out else ""), 0


def dataset_diff(
    options: Options,
    a: Annotated[str, typer.Argument(help="NAME@VERSION.")],
    b: Annotated[str, typer.Argument(help="NAME@VERSION, or a version or tag of the same dataset.")],
) -> Outcome:
    """What changed from one version to another: clips that came and went, and fields that changed."""
    from storage.versions import diff_versions

    started = time.monotonic()
    diff = diff_versions(options.place(), a, b)
    changes = {"added": diff.added, "removed": diff.removed, "changed": diff.changed}
    items = [{"id": key, "change": kind} for kind, keys in changes.items() for key in keys]
    text = f"{diff.a} → {diff.b}: {len(diff.added)} added, {len(diff.removed)} removed, {len(diff.changed)} changed"
    if diff.fields:
        text += "\n\n" + table([{"field": name, "rows": count} for name, count in diff.fields.items()])
    return listing(items, started, a=diff.a, b=diff.b, fields=diff.fields), text, 0


def dataset_checkout(options: Options, spec: Spec) -> Outcome:
    """Make a version the current one, its files as they were committed."""
    from storage.versions import checkout_version

    started = time.monotonic()
    return _versions([checkout_version(options.place(), spec)], started)


def dataset_tag(
    options: Options, spec: Spec, tag: Annotated[str, typer.Argument(help="The name to give it.")]
) -> Outcome:
    """Give a version a name."""
    from storage.versions import tag_version

    started = time.monotonic()
    return _versions([tag_version(options.place(), spec, tag)], started)


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


def _versions(versions: list[Any], started: float) -> Outcome:
    from storage.versions import describe_version

    rows = [describe_version(version) for version in versions]
    shown = [
        {"version": row["dataset_id"], "rows": row["rows"], "current": row["current"], "tags": list(row["tags"]),
         "created": row["created"], "message": row["message"]}
        for row in rows
    ]  # fmt: skip
    return listing([{"id": row["dataset_id"], **row} for row in rows], started), table(shown), 0


def _models(rows: list[dict[str, Any]], started: float) -> Outcome:
    shown = [
        {"model": f"{row['name']}@{row['version']}", "id": row["model_id"], "champion": row["promoted"],
         "stage": row["stage"], "trained on": row["dataset_id"], "MB": round((row["bytes"] or 0) / 1e6, 1)}
        for row in rows
    ]  # fmt: skip
    items = [{"id": row["model_id"], **row, "metrics": json.loads(row["metrics"] or "{}")} for row in rows]
    return listing(items, started), table(shown), 0
