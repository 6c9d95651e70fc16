"""Videos and target-language tracks in, lip-synced videos out: one, or a whole library."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.artifacts import publish, tracked
from flows.options import Options
from flows.parameters import Emotion, Intensity, Manifest, Output, SomeModel, Speakers, Tracks, Video
from flows.run import Result, Run, item
from flows.stages import stage_task
from storage.catalog import Catalog
from storage.layout import Root
from tasks.champion import Model, champion_or_named
from tasks.config import Config
from tasks.jobs import Job, jobs_of
from tasks.library_run import dub_many
from tasks.sealing import check_provenance


@flow(
    name="dub", description="Dub one video, or every row of a manifest.", persist_result=True, result_serializer="json"
)
def dub(
    options: Options,
    video: Video = None,
    audio: Tracks = None,
    emotion: Emotion = None,
    intensity: Intensity = None,
    speakers: Speakers = None,
    output: Output = None,
    manifest: Manifest = None,
    model: SomeModel = None,
) -> Result:
    """Dub `video` with `audio`, or the rows of `manifest`, with `model` (default: the champion)."""
    config = options.config()
    run = Run("dub", config, {"manifest": manifest, "video": video, "audio": audio, "emotion": emotion, "model": model})
    with run.stage("plan") as stage:
        jobs = plan_library(manifest, video, audio or [], emotion, intensity, speakers, output)
        check_provenance(config)
        chosen = champion_or_named(Root(config.root), config, model)
        stage["result"] = f"{len(jobs)} video{'s' * (len(jobs) != 1)}, model {chosen.label}"
    with run.stage("dub") as stage:
        rows = render_library(jobs, chosen, config, run.run_id)
        stage["result"] = outcome_of(rows)
    with run.stage("catalog"):
        catalogue_renders(rows, config)
    show_renders(run, rows, chosen)
    result = run.finish()
    publish(result, "dub", run.shown)
    return result


@stage_task("plan library")
def plan_library(*given: Any) -> list[Job]:
    """The rows of a manifest, or the one video."""
    return jobs_of(*given)


@stage_task("render library", "render")
def render_library(jobs: list[Job], model: Model, config: Config, run_id: str) -> list[dict[str, Any]]:
    """One RENDERS row per job, by Ray actors that load the models once; what is finished already is not done again."""
    with tracked("dub", len(jobs), "videos") as progress:
        return dub_many(
            jobs, model.path, config, model_id=model.model_id, dataset_id=model.dataset_id, run_id=run_id,
            on_row=lambda row: progress.advance(row["status"]), on_frames=progress.within, on_stretch=progress.inside,
        )  # fmt: skip


@stage_task("catalog renders")
def catalogue_renders(rows: list[dict[str, Any]], config: Config) -> None:
    """Rows into the catalog; one that stands there already is replaced, not doubled."""
    Catalog(config.root).upsert("renders", rows)


def show_renders(run: Run, rows: list[dict[str, Any]], model: Model) -> None:
    """Renders into the run's items and its report."""
    run.items += [render_item(row) for row in rows]
    run.show(renders=rows, lineage={"model": model.label, "model id": model.model_id, "dataset": model.dataset_id})


def render_item(row: dict[str, Any]) -> dict[str, Any]:
    """A RENDERS row as an item of the result."""
    names = (
        "frames", "fps", "duration_s", "faces", "windows", "sync_confidence_before", "sync_confidence_after",
        "sync_offset", "identity_cosine", "flicker", "seam", "outside_psnr_db", "seconds",
    )  # fmt: skip
    return item(
        row["render_id"], row["input_uri"], row["output_uri"], row["status"], row["stage"], row["reason"],
        **{name: row[name] for name in names},
    )  # fmt: skip


def outcome_of(rows: list[dict[str, Any]]) -> str:
    """``7 ok, 1 failed``."""
    states = [row["status"] for row in rows]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states))) or "nothing to do"
