"""A portrait and speech in, a talking face out."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.artifacts import publish, tracked
from flows.dub import catalogue_renders, outcome_of, show_renders
from flows.options import Options
from flows.parameters import Emotion, Intensity, Output, Portrait, SomeModel, Speech
from flows.run import Result, Run
from flows.stages import stage_task
from storage.layout import Root
from tasks.champion import Model, champion_or_named
from tasks.config import Config
from tasks.jobs import Job
from tasks.library_run import animate_many


@flow(name="animate", description="Make a portrait speak.", persist_result=True, result_serializer="json")
def animate(
    options: Options,
    image: Portrait,
    audio: Speech,
    emotion: Emotion = None,
    intensity: Intensity = None,
    output: Output = None,
    model: SomeModel = None,
) -> Result:
    """Animate `image` with the speech of `audio`; `emotion` is free text."""
    config = options.config()
    run = Run("animate", config, {"image": image, "audio": audio, "emotion": emotion, "model": model})
    chosen = champion_or_named(Root(config.root), config, model)
    with run.stage("animate") as stage:
        rows = render_portraits(
            [Job(image, audio, emotion, None, output, intensity=intensity)], chosen, config, run.run_id
        )
        stage["result"] = outcome_of(rows)
    with run.stage("catalog"):
        catalogue_renders(rows, config)
    show_renders(run, rows, chosen)
    result = run.finish()
    publish(result, "animate", run.shown)
    return result


@stage_task("render portraits", "render")
def render_portraits(jobs: list[Job], model: Model, config: Config, run_id: str) -> list[dict[str, Any]]:
    """One RENDERS row per portrait, by Ray actors."""
    with tracked("animate", len(jobs), "portraits") as progress:
        return animate_many(
            jobs, model.path, config, model_id=model.model_id, dataset_id=model.dataset_id, run_id=run_id,
            on_row=lambda row: progress.advance(row["status"]), on_frames=progress.within,
        )  # fmt: skip
