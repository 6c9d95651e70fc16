"""A dataset version and a starting model in, a model version out; promoted only if it beats the champion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow

from flows.artifacts import publish, tracked
from flows.console import say
from flows.evaluate import Comparison, compare_models, show_comparison
from flows.options import Options
from flows.parameters import Autoencoder, Corpus, Minutes, SomeDataset, StartModel, Steps, TrainingStage, Workers
from flows.run import Result, Run, item
from flows.stages import stage_task
from storage import versions
from storage.catalog import Catalog
from storage.ids import content_id
from storage.layout import Root
from storage.registry import Registry, folder_sha256
from tasks.champion import Model, champion, champion_or_named
from tasks.config import Config
from tasks.training.curve import read_curve, summarise
from tasks.training.divergence import TrainingDiverged
from tasks.training.ray_fit import fit
from tasks.training.samples import last_samples
from tasks.training.stages import EXPERT_STAGES, train_expert

PARTS_OF_TRAINING = ("model", "train", "audio")
"""Sections of the configuration that a training run depends on."""
FACTS = ("steps", "train_loss", "train_loss_start", "train_rate", "loss", "clips", "workers", "seconds")
"""What is told of a finished training."""
DATA_LICENCE = "as its training data"
ONLY_WATCHED = ("checkpoint_every", "samples_every", "max_loss_ratio", "loss_window", "recompute")
"""Settings of `train` that change what is kept and told of a run, not the run: it goes on under other ones."""


@flow(
    name="train",
    description="Train a model on a dataset version; promote it if it beats the champion.",
    persist_result=True,
    result_serializer="json",
)
def train(
    options: Options,
    dataset: SomeDataset = None,
    init: StartModel = None,
    stage: TrainingStage = "image",
    workers: Workers = None,
    steps: Steps = None,
    minutes: Minutes = None,
    corpus: Corpus = None,
    autoencoder: Autoencoder = None,
) -> Result:
    """Train `stage` on `dataset` (NAME[@VERSION]) or on a rendered `corpus`, from `init` (default: the champion).

    With `autoencoder` (a folder, or a model of the registry) a new denoiser is trained from nothing in its latents.
    """
    config = options.config(**{"train.steps": steps, "train.workers": workers})
    run = Run("train", config, {"dataset": dataset, "init": init, "stage": stage, "corpus": corpus, "minutes": minutes})
    if stage in EXPERT_STAGES:
        train_expert_stage(run, stage, corpus, minutes, steps)
        result = run.finish(model=run.items[-1]["id"])
        publish(result, "train", run.shown)
        return result
    start = None if autoencoder else champion_or_named(Root(config.root), config, init)
    with run.stage("train") as done:
        rows, dataset_id = training_rows(config, dataset, corpus)
        trained = fit_or_tell(run, rows, dataset_id, start, config, stage, autoencoder)
        done["result"] = f"{trained['steps']} steps, loss {trained['loss']:.4f}"
    with run.stage("register") as done:
        challenger = register_model(trained, start, dataset_id, config, stage, run.run_id)
        done["result"] = challenger.label
    with run.stage("evaluate") as done:
        comparison = compare_models(challenger, champion(Root(config.root), config), rows, dataset_id, config)
        done["result"] = comparison.reason
    with run.stage("gate") as done:
        done["result"] = verdict = promote_if_better(comparison, config)
    show_training(run, trained, challenger)
    show_comparison(run, comparison)
    metrics = comparison.challenger_table["metrics"]
    result = run.finish(model=challenger.model_id, promoted=comparison.promoted, verdict=verdict, metrics=metrics)
    publish(result, "train", run.shown)
    return result


def training_rows(config: Config, dataset: str | None, corpus: str | None) -> tuple[Path, str]:
    """(folder of clip rows, dataset id) of a dataset version, or of a rendered corpus."""
    if dataset is None:
        return Path(corpus or ""), f"corpus:{Path(corpus or '').name}"
    version = versions.show_version(config.root, dataset)
    return versions.checkout_version(config.root, version.dataset_id, make_current=False).path, version.dataset_id


def fit_or_tell(run: Run, rows: Path, dataset_id: str, start: Model | None, *settings: Any) -> dict[str, Any]:
    """`fit_model`. Of a training that diverges, the run leaves its report and its row before the error goes on."""
    try:
        trained: dict[str, Any] = fit_model(rows, dataset_id, start, *settings)
        return trained
    except TrainingDiverged as error:
        run.items.append(item(run.run_id, dataset_id, None, "failed", "train", str(error)))
        curve = read_curve(error.folder)
        run.show(
            training={
                **summarise(curve), "losses": [(entry["step"], entry["loss"]) for entry in curve],
                "samples": last_samples(error.folder), "started from": start.label if start else "nothing",
            },
            lineage={"dataset": dataset_id},
        )  # fmt: skip
        publish(run.finish(), run.command, run.shown)
        raise


@stage_task("fit", "train")
def fit_model(
    rows: Path,
    dataset_id: str,
    start: Model | None,
    config: Config,
    stage: str = "image",
    autoencoder: str | None = None,
) -> dict[str, Any]:
    """Train by Ray Train. The same dataset, start and settings resume where they stopped, or give what is there."""
    vae = autoencoder_folder(config, autoencoder) if autoencoder else None
    begun = start.model_id if start else folder_sha256(vae or "")[0]
    settings = config.with_({f"train.{name}": type(config.train).model_fields[name].default for name in ONLY_WATCHED})
    key = content_id("training", dataset_id, begun, stage, settings.hash(*PARTS_OF_TRAINING))
    out = Root(config.root).cache / "training" / key
    with tracked("train", config.train.steps, "steps") as progress:

        def moved(step: int, steps: int, metrics: dict[str, float]) -> None:
            progress.advance(steps=step - progress.done, total=steps)

        trained = fit(
            stage, config, rows, start.path if start else None, out, vae=vae,
            cache=Root(config.root).cache / "latents", on_progress=moved,
        )  # fmt: skip
    return {**trained, "steps": config.train.steps, "started_from": start.label if start else "nothing"}


def autoencoder_folder(config: Config, autoencoder: str) -> Path:
    """A folder as it is, else what the registry has under that name or id."""
    return Path(autoencoder) if Path(autoencoder).is_dir() else Registry(config.root).path(autoencoder)


@stage_task("register")
def register_model(
    trained: dict[str, Any], start: Model | None, dataset_id: str, config: Config, stage: str, run_id: str
) -> Model:
    """A new version of the model line, not promoted."""
    registry = Registry(config.root)
    measures = {name: value for name, value in trained.items() if isinstance(value, (int, float))}
    model_id = registry.register(
        trained["path"], config.model.name, metrics={"training": measures}, dataset_id=dataset_id,
        parent=start.model_id if start else "", stage=stage, run_id=run_id, config_hash=config.hash(),
        licence=licence_of(registry, start, stage),
        training={name: value for name, value in measures.items() if name.startswith("train_")},
    )  # fmt: skip
    Catalog(config.root).upsert("models", registry.show(model_id))
    return champion_or_named(Root(config.root), config, model_id)


def licence_of(registry: Registry, start: Model | None, stage: str) -> str:
    """That of the training data; on top of a public base, after that base's own, which goes on from model to model."""
    if start is None or stage != "adapt":
        return DATA_LICENCE
    before = str(registry.show(start.model_id)["licence"] or "")
    return before if before.endswith(DATA_LICENCE) else "; ".join(filter(None, (before, DATA_LICENCE)))


@stage_task("gate")
def promote_if_better(comparison: Comparison, config: Config) -> str:
    """Make the challenger the champion if it won; says what was decided and why."""
    if not comparison.promoted:
        kept = f"champion {comparison.champion.label} kept" if comparison.champion else "not promoted"
        return f"{kept}: {comparison.reason}"
    registry = Registry(config.root)
    registry.promote(comparison.challenger.model_id, comparison.reason)
    Catalog(config.root).upsert("models", registry.models(config.model.name))
    return f"{comparison.challenger.label} promoted: {comparison.reason}"


def train_expert_stage(run: Run, stage: str, corpus: str | None, minutes: float | None, steps: int | None) -> None:
    """Train an expert and register it under the stage's name; it is used where the configuration names its folder."""
    config = run.config
    with run.stage(f"train {stage}") as done:
        device = "cpu" if config.train.device == "auto" else config.train.device
        out = run.folder / "model"
        measures = fit_expert(
            stage, out, None if corpus is None else Path(corpus), minutes, steps, device, config.train.seed
        )
        done["result"] = ", ".join(
            f"{name} {value:.4g}" for name, value in measures.items() if isinstance(value, float)
        )
    registry = Registry(config.root)
    model_id = registry.register(
        out, stage, metrics=measures, stage=stage, run_id=run.run_id, config_hash=config.hash(), licence="Apache-2.0"
    )
    folder = str(registry.path(model_id))
    numbers = {name: value for name, value in measures.items() if isinstance(value, (int, float))}
    run.items.append(item(model_id, corpus or "", folder, "ok", stage, None, **numbers))
    run.show(evaluation=[{"model": stage, **numbers}], lineage={"model id": model_id, "corpus": corpus})


@stage_task("fit expert", "train")
def fit_expert(
    stage: str, out: Path, corpus: Path | None, minutes: float | None, steps: int | None, device: str, seed: int
) -> dict[str, Any]:
    """Train one of the experts: autoencoder, speech, sync, text, or the face pack."""
    return train_expert(stage, out, corpus=corpus, minutes=minutes, steps=steps, device=device, seed=seed, say=say)


def show_training(run: Run, trained: dict[str, Any], challenger: Model) -> None:
    """The training into the run's items and its report."""
    facts = {name: trained[name] for name in FACTS if name in trained}
    run.items.append(
        item(challenger.model_id, challenger.dataset_id or "", str(challenger.path), "ok", "train", None, **facts)
    )
    run.show(
        training={
            **facts, "started from": trained["started_from"], "losses": trained.get("losses", []),
            "samples": trained.get("samples"),
        },
        lineage={"model": challenger.label, "model id": challenger.model_id, "dataset": challenger.dataset_id},
    )  # fmt: skip
