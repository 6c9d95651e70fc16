"""Commands that run a flow: demo, preprocess, train, evaluate, dub, animate, nightly; and doctor and up."""

from __future__ import annotations

import importlib
import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.command import Command, command, listing
from flows.console import duration, table
from flows.options import Options
from flows.server import prefect_api
from storage.errors import UsageError
from storage.fetching import is_remote, local_path

Text = Annotated[str | None, typer.Option()]
Note = Annotated[
    Path | None, typer.Option("--note", help="Also write the ids of what came out to this file (for dvc.yaml).")
]
Emotion = Annotated[
    str | None, typer.Option("--emotion", help="Free text, or auto (from the speech); empty keeps the face's own.")
]
Model = Annotated[str | None, typer.Option("--model", help="A model version; default: the champion.")]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="Where to write; default: a name under ROOT/renders.")
]
Outcome = tuple[dict[str, Any], str, int]

ITEMS_SHOWN = 40


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for name, function in COMMANDS.items():
        command(app, name)(function)


def demo(options: Options) -> Outcome:
    """The whole loop on the shipped library: preprocess, short retrain, evaluate, gate, dub, catalog, report."""
    return _finished(_flow(options, "demo", "demo"))


def doctor(options: Options) -> Outcome:
    """What is installed, which packs and checkpoints are present, their licences, Ray, GPU, Prefect server."""
    from flows.doctor import examine

    return examine(options)


def preprocess(
    options: Options,
    sources: Annotated[
        list[str], typer.Argument(help="Videos, folders of them, manifests, or addresses of these (s3://bucket/films).")
    ],
    dataset: Annotated[str, typer.Option("--dataset", help="Name of the dataset to build or extend.")],
    corpus_layout: Annotated[
        str,
        typer.Option(
            "--corpus-layout",
            help="How folders are read: auto (by their files' names), folder, mead, hdtf, crema-d, ravdess, voxceleb2.",
        ),
    ] = "auto",
    message: Annotated[str, typer.Option("--message", "-m", help="What this version is, in a few words.")] = "",
    retry: Annotated[
        str | None,
        typer.Option("--retry", metavar="failed", help="failed: do again what failed before, quarantined clips too."),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Only tell what would be done, how long it takes, what it leaves and costs."),
    ] = False,
    note: Note = None,
) -> Outcome:
    """Build or extend a dataset version from footage."""
    places = [_existing_source(source) for source in sources]
    if retry not in (None, "failed"):
        raise UsageError(f"--retry {retry}: there is nothing else to retry than failed", "write --retry failed")
    if plan:
        return _planned(options, places, corpus_layout)
    result = _flow(
        options, "preprocess", "preprocess", sources=places, dataset=dataset, message=message,
        corpus_layout=corpus_layout, retry_failed=retry is not None,
    )  # fmt: skip
    _write_note(note, {"dataset": result["dataset"]})
    return _finished(result)


def train(
    options: Options,
    dataset: Annotated[str | None, typer.Option("--dataset", help="NAME or NAME@VERSION.")] = None,
    init: Annotated[
        str | None, typer.Option("--init", help="A model version to start from; default: the champion.")
    ] = None,
    stage: Annotated[
        str,
        typer.Option(
            "--stage",
            help="image, video, split, distil, adapt, autoencoder, speech, sync, text, emotion, align, interpolator, "
            "detector, landmarks, recogniser.",
        ),
    ] = "image",
    workers: Annotated[
        int | None, typer.Option("--workers", min=0, help="Ray Train workers; 0 trains in this process.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Optimiser steps.")] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", help="Time budget of an expert's stage.")] = None,
    corpus: Annotated[
        Path | None, typer.Option("--corpus", help="A rendered studio corpus, for the stages of experts.")
    ] = None,
    autoencoder: Annotated[
        str | None, typer.Option("--autoencoder", help="Train a new denoiser in the latent space of this autoencoder.")
    ] = None,
    note: Note = None,
) -> Outcome:
    """Train on a dataset version, from the champion; promoted only if it beats the champion."""
    if (dataset is None) == (corpus is None) and stage in ("image", "video", "split", "distil", "adapt"):
        raise UsageError("train needs --dataset NAME[@VERSION] or --corpus DIR", "see `dubwright dataset list`")
    result = _flow(
        options, "train", "train", dataset=dataset, init=init, stage=stage, workers=workers, steps=steps,
        minutes=minutes, corpus=_existing(corpus), autoencoder=autoencoder,
    )  # fmt: skip
    _write_note(note, {"model": result.get("model")})
    return _finished(result)


def evaluate(
    options: Options,
    model: Annotated[
        str, typer.Argument(help="A model version: its id, NAME@VERSION, NAME (the champion), or latest.")
    ],
    dataset: Annotated[str, typer.Option("--dataset", help="NAME or NAME@VERSION.")],
    note: Note = None,
) -> Outcome:
    """The metric table of a model on held-out clips, as text, JSON and in the catalog."""
    result = _flow(options, "evaluate", "evaluate", model=model, dataset=dataset)
    _write_note(note, result["metrics"])
    shown = table([{"metric": name, "value": value} for name, value in result["metrics"].items()])
    if "published" in result:
        shown += f"\n\n{result['published_note']}:\n{table(result['published'])}"
    return _finished(result, shown)


def dub(
    options: Options,
    video: Annotated[Path | None, typer.Argument(help="The video.")] = None,
    audio: Annotated[Path | None, typer.Option("--audio", help="The track in the target language.")] = None,
    emotion: Emotion = None,
    speakers: Annotated[Path | None, typer.Option("--speakers", help="RTTM file: who speaks when.")] = None,
    output: Output = None,
    manifest: Annotated[
        Path | None, typer.Option("--manifest", help="CSV, JSONL or Parquet: video, audio, emotion, speakers, output.")
    ] = None,
    model: Model = None,
    note: Note = None,
) -> Outcome:
    """Dub one video, or every row of a manifest."""
    if (video is None) == (manifest is None):
        raise UsageError("dub needs a VIDEO or --manifest FILE, and not both", "dubwright dub VIDEO --audio TRACK")
    if video is not None and audio is None:
        raise UsageError("dub VIDEO needs --audio TRACK", "dubwright dub VIDEO --audio TRACK")
    result = _flow(
        options, "dub", "dub", video=_existing(video), audio=_existing(audio), emotion=emotion,
        speakers=_existing(speakers), output=_text(output), manifest=_existing(manifest), model=model,
    )  # fmt: skip
    _write_note(note, {"renders": sorted(entry["id"] for entry in result["items"] if entry["status"] == "ok")})
    return _finished(result)


def animate(
    options: Options,
    image: Annotated[Path, typer.Argument(help="A picture with a face.")],
    audio: Annotated[Path, typer.Option("--audio", help="What it says.")],
    emotion: Emotion = None,
    output: Output = None,
    model: Model = None,
) -> Outcome:
    """Make a portrait speak."""
    result = _flow(
        options, "animate", "animate", image=_existing(image), audio=_existing(audio), emotion=emotion,
        output=_text(output), model=model,
    )  # fmt: skip
    return _finished(result)


def nightly(
    options: Options,
    sources: Annotated[list[str] | None, typer.Argument(help="New footage; default: ROOT/incoming.")] = None,
    dataset: Annotated[str, typer.Option("--dataset", help="Name of the dataset to extend.")] = "nightly",
) -> Outcome:
    """One nightly run now: new footage, dataset version, warm-start training, evaluation, gate."""
    if not sources:
        incoming = options.place().local / "incoming"
        incoming.mkdir(parents=True, exist_ok=True)
        sources = [str(incoming)]
    places = [_existing_source(source) for source in sources]
    return _finished(_flow(options, "nightly", "nightly", sources=places, dataset=dataset))


def up(
    options: Options,
    port: Annotated[int, typer.Option("--port", help="Port of the Prefect server.")] = 4200,
    cron: Annotated[str, typer.Option("--cron", help="When the nightly deployment runs (UTC).")] = "0 2 * * *",
) -> Outcome:
    """A local Prefect server with the deployments served, and a Ray head; until interrupted."""
    from flows.up import serve_here

    return serve_here(options, port, cron)


COMMANDS: dict[str, Command] = {
    "demo": demo, "doctor": doctor, "preprocess": preprocess, "train": train, "evaluate": evaluate, "dub": dub,
    "animate": animate, "nightly": nightly, "up": up,
}  # fmt: skip


def _flow(options: Options, module: str, name: str, **parameters: Any) -> dict[str, Any]:
    """Run a flow with a Prefect API at hand; imports go on while the API starts."""
    options.config()  # a wrong configuration is said at once, not after the server has started
    root = options.place().create()
    with prefect_api(root) as ready:
        flow = getattr(importlib.import_module(f"flows.{module}"), name)
        ready()
        result: dict[str, Any] = flow(options=options, **parameters)
        return result


def _finished(result: dict[str, Any], more: str = "") -> Outcome:
    """The result as text: a table of items, the counts, where the report lies; exit code 1 where an item is not ok."""
    rows = [
        {
            "input": Path(str(entry["input"])).name, "status": entry["status"],
            "output": entry["output"] or "", "reason": entry["reason"] or "",
        }
        for entry in result["items"][:ITEMS_SHOWN]
    ]  # fmt: skip
    columns = [name for name in ("input", "status", "output", "reason") if any(row[name] for row in rows)]
    shown = table(rows, columns) if rows and not result.get("table") else ""
    steps = table(result["steps"]) if result.get("steps") else ""
    parts = [result.get("table", ""), result.get("verdict", ""), more, shown, steps]
    if len(result["items"]) > ITEMS_SHOWN:
        parts.append(f"… and {len(result['items']) - ITEMS_SHOWN} more (in the report, or with --json)")
    counts = ", ".join(f"{count} {status}" for status, count in result["counts"].items())
    parts.append(f"{counts} in {duration(result['seconds'])}\nreport: {result['report']}")
    code = int(bool(result["counts"]["rejected"] or result["counts"]["failed"]))
    return result, "\n\n".join(part for part in parts if part), code


def _planned(options: Options, places: list[str], corpus_layout: str) -> Outcome:
    """What `preprocess` would do, without doing it."""
    from flows.planning import plan_text
    from tasks.estimate import estimate
    from tasks.probe import find_sources

    started = time.monotonic()
    config = options.config()
    found = estimate(find_sources(places, corpus_layout, config.root), config)
    return {**listing([], started), "plan": found.as_dict()}, plan_text(found), 0


def _existing(path: Path | None) -> Any:
    if path is None:
        return None
    found = _whole(path)
    if not found.exists():
        raise UsageError(f"{path}: no such file or folder", "check the path")
    return str(found)


def _existing_source(place: str) -> str:
    """A local path whole, an address as it is; what lies there is found out when it is listed."""
    return place if is_remote(place) else str(_existing(Path(local_path(place))))


def _whole(path: Path) -> Path:
    """The path from the root on, without "..": it stands in rows and must mean the same tomorrow."""
    found = path.expanduser()
    return found.resolve() if ".." in found.parts else found.absolute()


def _text(path: Path | None) -> str | None:
    return None if path is None else str(_whole(path))


def _write_note(path: Path | None, ids: dict[str, Any]) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(ids, indent=2, sort_keys=True) + "\n")
