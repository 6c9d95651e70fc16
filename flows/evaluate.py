"""A model and held-out clips in, the metric table out; two models in, a verdict."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow

from flows.artifacts import publish, tracked
from flows.options import Options
from flows.parameters import Dataset, ModelName
from flows.run import Result, Run, item
from flows.stages import stage_task
from storage import versions
from storage.atomic import write_json
from storage.catalog import Catalog
from storage.errors import NotFound
from storage.ids import content_id
from storage.layout import Root
from storage.registry import Registry
from tasks.champion import Model, champion_or_named
from tasks.config import Config
from tasks.evaluate import evaluate as measure
from tasks.evaluate_gate import Verdict, judge
from tasks.evaluate_grid import held_out_grid, write_sheet
from tasks.published import NOTE, has_counterpart, published_rows

PARTS_OF_EVALUATION = ("evaluate", "faces", "audio", "render")
"""Sections of the configuration that a metric table depends on."""

Table = dict[str, Any]
NOTHING: Table = {"metrics": {}, "spread": {}, "protocol": [], "clips": [], "frames": 0, "samples": {}, "vectors": {}}
TABLES = 2
"""Counts up when tables hold more: one that was measured before is measured anew."""


@dataclass(frozen=True)
class Comparison:
    """Two metric tables and what the gate made of them.

    champion is None where there was none; a table is empty where nothing could be measured.
    """

    challenger: Model
    champion: Model | None
    challenger_table: Table
    champion_table: Table
    verdict: Verdict

    @property
    def promoted(self) -> bool:
        return self.verdict.promoted

    @property
    def reason(self) -> str:
        return self.verdict.reason


@flow(
    name="evaluate",
    description="The metric table of a model on held-out clips.",
    persist_result=True,
    result_serializer="json",
)
def evaluate(options: Options, model: ModelName, dataset: Dataset) -> Result:
    """Measure `model` on the held-out clips of `dataset`; the table goes into registry, catalog and report."""
    config = options.config()
    run = Run("evaluate", config, {"model": model, "dataset": dataset})
    chosen = champion_or_named(Root(config.root), config, model)
    version = versions.show_version(config.root, dataset)
    with run.stage("evaluate") as stage:
        table = measure_model(chosen, version.path, version.dataset_id, config, shuffled=True)
        stage["result"] = f"{len(table['clips'])} clips, {table['frames']} frames"
    with run.stage("picture"):
        grid = control_picture(chosen, version.path, run.folder / "control.jpg", config)
    with run.stage("catalog"):
        keep_metrics(chosen, table, version.dataset_id, config)
    run.items.append(
        item(chosen.model_id, version.dataset_id, str(chosen.path), "ok", "evaluate", None, **table["metrics"])
    )
    run.show(
        evaluation=[{"model": chosen.label, **with_spread(table)}], protocol=table["protocol"], **beside(table),
        lineage={"model": chosen.label, "model id": chosen.model_id, "dataset": version.dataset_id}, control=str(grid),
    )  # fmt: skip
    result = run.finish(
        control=str(grid), metrics=table["metrics"], spread=table["spread"], protocol=table["protocol"], **beside(table)
    )  # fmt: skip
    publish(result, "evaluate", run.shown)
    return result


@stage_task("measure", "evaluate")
def measure_model(model: Model, rows: Path, dataset_id: str, config: Config, shuffled: bool = False) -> Table:
    """The metric table of one model. Measured once: the same model, clips and settings give the table that is there."""
    parts = config.hash(*PARTS_OF_EVALUATION)
    note = (
        Root(config.root).cache
        / "evaluations"
        / f"{content_id(TABLES, model.model_id, dataset_id, parts, shuffled)}.json"
    )
    if note.is_file():
        known: Table = json.loads(note.read_text())
        return known
    with tracked(f"evaluate {model.label}", 0, "clips") as progress:
        table = measure(model.path, rows, config, lambda done, total: progress.advance(total=total), shuffled=shuffled)
    write_json(note, table)
    return table


@stage_task("picture", "evaluate")
def control_picture(model: Model, rows: Path, out: Path, config: Config) -> Path:
    """One picture of what each condition changes, on held-out people."""
    write_sheet(out, held_out_grid(model.path, rows, config))
    return out


def compare_models(
    challenger: Model, champion: Model | None, rows: Path, dataset_id: str, config: Config
) -> Comparison:
    """Both models on the same clips, and the gate's verdict. A dataset without held-out clips promotes nobody."""
    try:
        ours = measure_model(challenger, rows, dataset_id, config)
        theirs = measure_model(champion, rows, dataset_id, config) if champion else NOTHING
    except NotFound as error:
        return Comparison(challenger, champion, NOTHING, NOTHING, Verdict(False, f"not measured: {error}"))
    if champion is not None and challenger.model_id == champion.model_id:
        verdict = Verdict(False, "the training gave the champion itself")
    else:
        verdict = judge(ours, theirs if champion else None, config)
    return Comparison(challenger, champion, ours, theirs, verdict)


@stage_task("keep metrics")
def keep_metrics(model: Model, table: Table, dataset_id: str, config: Config) -> None:
    """The table into the model's registry entry and into the catalog."""
    registry = Registry(config.root)
    name = model.label.partition("@")[0]
    model_id = registry.register(
        model.path, name, metrics={dataset_id: table["metrics"], "protocol": table["protocol"]}
    )
    Catalog(config.root).upsert("models", registry.show(model_id))


def show_comparison(run: Run, comparison: Comparison) -> None:
    """Both tables and the verdict into the report."""
    champion, challenger = comparison.champion, comparison.challenger
    tables = [(f"{challenger.label} (challenger)", comparison.challenger_table)]
    if champion is not None:
        tables.insert(0, (f"{champion.label} (champion)", comparison.champion_table))
    run.show(
        evaluation=[{"model": name, **with_spread(table)} for name, table in tables],
        protocol=comparison.challenger_table["protocol"],
        **beside(comparison.challenger_table),
        gate=comparison.verdict.as_dict(),
    )


def beside(table: Table) -> dict[str, Any]:
    """What others have published of the metrics that `table` has, and the note that says so; {} where it has none."""
    if not has_counterpart(table["metrics"]):
        return {}
    return {"published": published_rows(), "published_note": NOTE}


def with_spread(table: Table) -> dict[str, str]:
    """Metrics as ``0.84 ± 0.02`` where the spread is known."""
    spread = table.get("spread", {})
    return {
        name: f"{value:.3g} ± {spread[name]:.2g}" if spread.get(name) else f"{value:.4g}"
        for name, value in table["metrics"].items()
    }
