"""Commands that run a flow: demo, preprocess, train, evaluate, nightly; and doctor."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from flows.cli_running import Note, Outcome, existing, existing_source, finished, run_flow, write_note
from flows.command import Command, command, listing
from flows.console import table
from flows.options import Options
from storage.errors import UsageError

Text = Annotated[str | None, typer.Option()]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for name, function in COMMANDS.items():
        command(app, name)(function)


def demo(options: Options) -> Outcome:
    """The whole loop on the shipped library: preprocess, short retrain, evaluate, gate, dub, catalog, report."""
    return finished(run_flow(options, "demo", "demo"))


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
    places = [existing_source(source) for source in sources]
    if retry not in (None, "failed"):
        raise UsageError(f"--retry {retry}: there is nothing else to retry than failed", "write --retry failed")
    if plan:
        return _planned(options, places, corpus_layout)
    result = run_flow(
        options, "preprocess", "preprocess", sources=places, dataset=dataset, message=message,
        corpus_layout=corpus_layout, retry_failed=retry is not None,
    )  # fmt: skip
    write_note(note, {"dataset": result["dataset"]})
    return finished(result)


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
    result = run_flow(
        options, "train", "train", dataset=dataset, init=init, stage=stage, workers=workers, steps=steps,
        minutes=minutes, corpus=existing(corpus), autoencoder=autoencoder,
    )  # fmt: skip
    write_note(note, {"model": result.get("model")})
    return finished(result)


def evaluate(
    options: Options,
    model: Annotated[
        str, typer.Argument(help="A model version: its id, NAME@VERSION, NAME (the champion), or latest.")
    ],
    dataset: Annotated[str, typer.Option("--dataset", help="NAME or NAME@VERSION.")],
    note: Note = None,
) -> Outcome:
    """The metric table of a model on held-out clips, as text, JSON and in the catalog."""
    result = run_flow(options, "evaluate", "evaluate", model=model, dataset=dataset)
    write_note(note, result["metrics"])
    shown = table([{"metric": name, "value": value} for name, value in result["metrics"].items()])
    if "published" in result:
        shown += f"\n\n{result['published_note']}:\n{table(result['published'])}"
    return finished(result, shown)


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
    places = [existing_source(source) for source in sources]
    return finished(run_flow(options, "nightly", "nightly", sources=places, dataset=dataset))


COMMANDS: dict[str, Command] = {
    "demo": demo, "doctor": doctor, "preprocess": preprocess, "train": train, "evaluate": evaluate,
    "nightly": nightly,
}  # fmt: skip


def _planned(options: Options, places: list[str], corpus_layout: str) -> Outcome:
    """What `preprocess` would do, without doing it."""
    from flows.planning import plan_text
    from tasks.estimate import estimate
    from tasks.probe import find_sources

    started = time.monotonic()
    config = options.config()
    found = estimate(find_sources(places, corpus_layout, config.root), config)
    return {**listing([], started), "plan": found.as_dict()}, plan_text(found), 0
