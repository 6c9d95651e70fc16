"""Footage in, a dataset version out: every input ends as a row, kept or left out with its reason."""

from __future__ import annotations

from itertools import islice
from typing import Any

from prefect import flow

from flows.artifacts import publish, tracked
from flows.options import Options
from flows.parameters import CorpusLayout, DatasetName, Message, RetryFailed, Sources
from flows.run import Result, Run, item
from flows.stages import stage_task
from storage import versions
from storage.catalog import Catalog
from storage.errors import NotFound
from storage.layout import Root
from storage.shards import read_rows
from tasks.assembly import Built
from tasks.config import Config
from tasks.corpora.registry import AUTO, layout_named
from tasks.preprocess import preprocess_many
from tasks.probe import Source, find_sources
from tasks.report_version import version_page
from tasks.steps.ledger import ledger_rows, step_table

REPORT_CLIPS = 36  # thumbnails
PAGE = "dataset"
"""Folder of the dataset's page within a report."""


@flow(
    name="preprocess",
    description="Build or extend a dataset version from footage.",
    persist_result=True,
    result_serializer="json",
)
def preprocess(
    options: Options,
    sources: Sources,
    dataset: DatasetName,
    message: Message = "",
    corpus_layout: CorpusLayout = AUTO,
    retry_failed: RetryFailed = False,
) -> Result:
    """Build or extend `dataset` from files and folders; returns the run's result with the version under "dataset", and
    what was done at each step under "steps"."""
    config = options.config()
    layout_named(corpus_layout)  # a wrong one is told before anything is begun
    run = Run("preprocess", config, {"sources": sources, "dataset": dataset})
    with run.stage("find sources") as stage:
        found = find_footage(sources, corpus_layout, config.root)
        strange = sum(source.refused is not None for source in found)
        stage["result"] = f"{len(found)} files" + (f", {strange} left out by their names" if strange else "")
    with run.stage("build clips") as stage:
        built = build_clips(found, dataset, config, run.run_id, message, retry_failed)
        stage["result"] = built.summary
    with run.stage("catalog") as stage:
        stage["result"] = catalogue_clips(built, dataset, config, run.run_id)
    run.items += source_items(built)
    show_dataset(run, built, dataset)
    run.show(lineage={"dataset": f"{dataset}@{built.version}"})
    result = run.finish(dataset=f"{dataset}@{built.version}", steps=step_table(built.steps))
    publish(result, "preprocess", run.shown)
    return result


@stage_task("find sources")
def find_footage(places: list[str], corpus_layout: str = AUTO, root: str | None = None) -> list[Source]:
    """Media files from files, folders, manifests and corpora."""
    return find_sources(places, corpus_layout, root)


@stage_task("build clips", "preprocess")
def build_clips(
    sources: list[Source], dataset: str, config: Config, run_id: str, message: str = "", retry_failed: bool = False
) -> Built:
    """Every source through all steps, from probe to quality, by Ray Data; then shards and a version."""
    with tracked("preprocess", len(sources), "sources") as progress:

        def seen(kind: str, row: dict[str, Any]) -> None:
            if kind == "sources":
                progress.advance(row["status"])

        return preprocess_many(
            sources, dataset, config, run_id=run_id, on_row=seen, message=message, retry_failed=retry_failed
        )


@stage_task("catalog clips")
def catalogue_clips(built: Built, dataset: str, config: Config, run_id: str) -> str:
    """Rows of the version into the catalog, without their pictures, and the ledger of what the run did.

    The sources come last: where one is not there, a run was killed before all about it was written down.
    """
    catalog = Catalog(config.root)
    known = {row["source_id"] for row in catalog.each("sources", None, ("source_id",))}
    fresh = {str(row["source_id"]) for row in built.sources} - known
    ledger = list(ledger_rows(built, config, run_id, fresh))
    catalog.upsert("steps", ledger)
    catalog.upsert("clips", built.clips)
    versions.catalogue_version(config.root, f"{dataset}@{built.version}")
    catalog.upsert("sources", built.sources)
    return f"{len(built.sources)} sources, {len(built.clips)} clips, {len(ledger)} steps of clips"


def show_dataset(run: Run, built: Built, dataset: str) -> None:
    """The version into the report: its clips, thumbnails of some of them, what was left out; and a page of its own with
    contact sheets and distributions."""
    page = version_page(run.root, f"{dataset}@{built.version}", run.report.parent / PAGE)
    pictured = {
        row["clip_id"]: row["crops"]
        for row in islice(read_rows(built.folder, ["clip_id", "status", "crops"]), REPORT_CLIPS * 4)
        if row["status"] == "ok"
    }
    clips = [{**clip, "crops": pictured.get(clip["clip_id"])} for clip in built.clips]
    kept = [clip for clip in built.clips if clip["status"] == "ok"]
    frames = sum(clip["num_frames"] or 0 for clip in kept)
    run.show(
        clips=clips,
        dataset={
            "version": f"{dataset}@{built.version}", "sources": len(built.sources), "clips kept": len(kept),
            "left out": len(built.clips) - len(kept), "frames": frames,
            "people": len({clip["speaker"] for clip in kept if clip["speaker"]}),
            "page": f"{PAGE}/{page.name}",
        },
    )  # fmt: skip


def version_before(root: Root, dataset: str) -> str | None:
    """The current version of a dataset, None where there is none yet."""
    try:
        return versions.show_version(root, dataset).version
    except NotFound:
        return None


def source_items(built: Built) -> list[dict[str, Any]]:
    """Every source of a run as an item of its result, by name: they end in any order."""
    return [source_item(row) for row in sorted(built.sources, key=lambda row: str(row["uri"]))]


def source_item(row: dict[str, Any]) -> dict[str, Any]:
    """A SOURCES row as an item of the result."""
    return item(
        row["source_id"], row["uri"], None, row["status"], row["stage"], row["reason"],
        clips_ok=row["clips_ok"], clips_rejected=row["clips_rejected"], duration_s=row["duration_s"],
        measure=row["measure"], value=row["value"], threshold=row["threshold"], seconds=row["seconds"],
    )  # fmt: skip
