"""What a root can be watched by: work done at each step, what waits, what failed and why, how good each model is.

All of it is read from what the runs leave anyway: the catalog with its ledger of steps, the registry, the ledger of
renders. So it is the same whoever asks, on whatever machine, and costs the runs nothing. A table is read again only
once it has another version.

Everything is a gauge: a row that is made again takes the place of the old one, so that no number here can only grow.
"""

from __future__ import annotations

import datetime
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from storage.catalog import Catalog
from storage.catalog_totals import totals
from storage.ids import code_revision
from storage.layout import Root
from storage.ledger import Ledger
from storage.registry import Registry
from tasks.dubbing.delivery import REVIEW
from tasks.gpus import gpus
from tasks.nights import GATE
from tasks.sources import MEDIA_SUFFIXES

Sample = tuple[str, tuple[str, ...], float]
"""Name of a metric, the values of its labels, its value."""
Totals = list[dict[str, Any]]
TRAINING = "training"
"""Under this name a training's own measures stand among a model's metrics."""
NEWEST = 50
"""Versions of a model whose quality is told, beside the champion."""
QUALITY = ("sync_confidence_after", "identity_cosine", "flicker", "seam", "outside_psnr_db")
KINDS = ("look_seconds", "render_seconds", "finish_seconds")


@dataclass(frozen=True)
class Metric:
    """A metric: what it says, and what tells its series apart."""

    doc: str
    labels: tuple[str, ...] = ()


METRICS: dict[str, Metric] = {
    "dubwright_info": Metric("1; which code answers", ("code_revision",)),
    "dubwright_rows": Metric("Rows of the catalog by how they ended", ("table", "status")),
    "dubwright_footage_seconds": Metric("Length of the films of datasets, seconds", ("dataset", "status")),
    "dubwright_rendered_seconds": Metric("Length of the dubbed films, seconds", ("model", "status")),
    "dubwright_step_items": Metric("Clips and films that a preprocessing step was done to", ("step", "status")),
    "dubwright_step_seconds": Metric("Time that a preprocessing step took, all workers together", ("step",)),
    "dubwright_step_cpu_seconds": Metric("Processor time that a preprocessing step took", ("step",)),
    "dubwright_render_work_seconds": Metric("Time that dubbing took, by kind of work", ("kind",)),
    "dubwright_rejections": Metric("Rows left out for a measure", ("table", "stage", "measure")),
    "dubwright_failures": Metric("Rows that failed, by class of error", ("table", "stage", "error_type")),
    "dubwright_reviews": Metric("Renders that the quality gate keeps back for review", ("measure",)),
    "dubwright_queue_renders": Metric("Dubs that were begun or wait in a run, and have not ended"),
    "dubwright_queue_films": Metric("Films in ROOT/incoming that no run has read yet"),
    "dubwright_runs": Metric("Runs by command and outcome", ("command", "status")),
    "dubwright_last_run_timestamp_seconds": Metric("When the newest run began", ("command", "status")),
    "dubwright_last_run_seconds": Metric("How long the newest run took", ("command",)),
    "dubwright_models": Metric("Versions of a model", ("model",)),
    "dubwright_model_quality": Metric(
        "A model version's evaluation on a dataset version", ("model", "version", "dataset", "measure")
    ),
    "dubwright_gate_gain": Metric(
        "By how much a challenger was better than the champion of its night", ("model", "version", "measure")
    ),
    "dubwright_gate_promoted": Metric("1 where the gate let a challenger pass, else 0", ("model", "version")),
    "dubwright_champion_version": Metric("Version that is the champion", ("model",)),
    "dubwright_champion_since_timestamp_seconds": Metric("When it was promoted", ("model",)),
    "dubwright_champion_quality": Metric(
        "The champion's evaluation on a dataset version", ("model", "dataset", "measure")
    ),
    "dubwright_render_quality": Metric("Mean over a model version's finished dubs", ("model", "version", "measure")),
    "dubwright_disk_bytes": Metric("The file system that the root lies on", ("kind",)),
    "dubwright_gpu_utilization_ratio": Metric("Share of the time in which a GPU computes, 0..1", ("gpu", "name")),
    "dubwright_gpu_memory_bytes": Metric("Memory of a GPU", ("gpu", "name", "kind")),
}


class Measures:
    """The metrics of one root; ask again for newer values.

    Args:
        root: the data root.
    """

    def __init__(self, root: Root) -> None:
        self._root = root
        self._catalog = Catalog(root)
        self._kept: dict[Any, tuple[int, Any]] = {}

    def samples(self) -> Iterator[Sample]:
        """All that there is to say now, metrics of `METRICS` with label values in their order."""
        yield "dubwright_info", (code_revision(),), 1.0
        yield from self._rows()
        yield from self._steps()
        yield from self._renders()
        yield from self._reasons()
        yield from self._queue()
        yield from self._runs()
        yield from self._models()
        yield from _machine(self._root)

    def _totals(self, table: str, *by: str, sums: tuple[str, ...] = (), where: str | None = None) -> Totals:
        def read() -> Totals:
            return totals(self._catalog, table, by, sums, where)

        found: Totals = self._once(table, (table, by, sums, where), read)
        return found

    def _once(self, table: str, key: Any, read: Callable[[], Any]) -> Any:
        version = self._catalog.version(table)
        if self._kept.get(key, (None,))[0] != version:
            self._kept[key] = version, read()
        return self._kept[key][1]

    def _rows(self) -> Iterator[Sample]:
        for table in ("sources", "clips", "renders"):
            for group in self._totals(table, "status"):
                yield "dubwright_rows", (table, _text(group["status"])), group["rows"]
        for group in self._totals("sources", "dataset", "status", sums=("duration_s",)):
            labels = (_text(group["dataset"]), _text(group["status"]))
            yield "dubwright_footage_seconds", labels, group["duration_s"] or 0.0

    def _steps(self) -> Iterator[Sample]:
        for group in self._totals("steps", "step", "status"):
            yield "dubwright_step_items", (group["step"], _text(group["status"])), group["rows"]
        for group in self._totals("steps", "step", sums=("seconds", "cpu_seconds")):
            yield "dubwright_step_seconds", (group["step"],), group["seconds"] or 0.0
            yield "dubwright_step_cpu_seconds", (group["step"],), group["cpu_seconds"] or 0.0

    def _renders(self) -> Iterator[Sample]:
        names = {entry["model_id"]: (entry["name"], str(entry["version"])) for entry in Registry(self._root).models()}
        for group in self._totals("renders", "model_id", "status", sums=("duration_s",)):
            name, version = names.get(group["model_id"], (_text(group["model_id"]), ""))
            labels = (f"{name}@{version}" if version else name, _text(group["status"]))
            yield "dubwright_rendered_seconds", labels, group["duration_s"] or 0.0
        work = self._totals("renders", "status", sums=KINDS)
        for kind in KINDS:
            seconds = sum(group[kind] or 0.0 for group in work)
            yield "dubwright_render_work_seconds", (kind.removesuffix("_seconds"),), seconds
        for group in self._totals("renders", "model_id", sums=QUALITY, where="status = 'ok'"):
            name, version = names.get(group["model_id"], (_text(group["model_id"]), ""))
            for measure in QUALITY:
                if group[f"{measure}_rows"]:
                    mean = group[measure] / group[f"{measure}_rows"]
                    yield "dubwright_render_quality", (name, version, measure), mean

    def _reasons(self) -> Iterator[Sample]:
        for table in ("sources", "clips", "renders"):
            for group in self._totals(table, "stage", "error_type", where="status = 'failed'"):
                labels = (table, _text(group["stage"]), _text(group["error_type"]))
                yield "dubwright_failures", labels, group["rows"]
            for group in self._totals(table, "stage", "measure", where="status = 'rejected'"):
                labels = (table, _text(group["stage"]), _text(group["measure"]))
                yield "dubwright_rejections", labels, group["rows"]
        for group in self._totals("renders", "measure", where=f"stage = '{REVIEW}'"):
            yield "dubwright_reviews", (_text(group["measure"]),), group["rows"]

    def _queue(self) -> Iterator[Sample]:
        counts = Ledger(self._root.renders / "ledger.jsonl").counts()
        yield "dubwright_queue_renders", (), counts.get("started", 0)
        known = self._once(
            "sources", "uris", lambda: {row["uri"] for row in self._catalog.rows("sources", columns=["uri"])}
        )
        incoming = self._root.local / "incoming"
        files = (os.path.join(folder, name) for folder, _, names in os.walk(incoming) for name in names)
        films = [file for file in files if os.path.splitext(file)[1].lower() in MEDIA_SUFFIXES]
        yield "dubwright_queue_films", (), sum(file not in known for file in films)

    def _runs(self) -> Iterator[Sample]:
        columns = ("command", "status", "started", "seconds")
        rows = self._once("runs", "runs", lambda: self._catalog.rows("runs", columns=columns))
        newest: dict[tuple[str, str], dict[str, Any]] = {}
        counts: dict[tuple[str, str], int] = {}
        for row in sorted(rows, key=lambda row: row["started"]):
            key = _text(row["command"]).split(" ", 1)[0], _text(row["status"])
            counts[key] = counts.get(key, 0) + 1
            newest.pop(key, None)
            newest[key] = row
        for key, count in counts.items():
            yield "dubwright_runs", key, count
            yield "dubwright_last_run_timestamp_seconds", key, newest[key]["started"].timestamp()
        lasts = {command: row for (command, _), row in newest.items()}
        for command, row in lasts.items():
            yield "dubwright_last_run_seconds", (command,), row["seconds"] or 0.0

    def _models(self) -> Iterator[Sample]:
        registry = Registry(self._root)
        rows = registry.models()
        for name in dict.fromkeys(row["name"] for row in rows):
            versions = [row for row in rows if row["name"] == name]
            yield "dubwright_models", (name,), len(versions)
            for row in versions:
                if row["promoted"]:
                    since = _promoted_at(registry.history(name))
                    yield "dubwright_champion_version", (name,), row["version"]
                    if since is not None:
                        yield "dubwright_champion_since_timestamp_seconds", (name,), since
                if row["promoted"] or row in versions[-NEWEST:]:
                    yield from _quality(row)


def _promoted_at(history: list[dict[str, Any]]) -> float | None:
    return datetime.datetime.fromisoformat(history[-1]["at"]).timestamp() if history else None


def _quality(row: dict[str, Any]) -> Iterator[Sample]:
    """What evaluations and the gate say of a model version: a table of numbers for each dataset version, a verdict."""
    noted, version = json.loads(row["metrics"] or "{}"), (row["name"], str(row["version"]))
    verdict = noted.pop(GATE, None)
    for dataset, table in sorted({"": noted, **noted}.items()):
        for measure, value in sorted(table.items()) if isinstance(table, dict) and dataset != TRAINING else ():
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                yield "dubwright_model_quality", (*version, dataset, measure), float(value)
                if row["promoted"]:
                    yield "dubwright_champion_quality", (row["name"], dataset, measure), float(value)
    if verdict is not None:
        yield "dubwright_gate_promoted", version, float(verdict["promoted"])
        for difference in verdict["differences"]:
            yield "dubwright_gate_gain", (*version, difference["metric"]), float(difference["gain"])


def _machine(root: Root) -> Iterator[Sample]:
    disk = shutil.disk_usage(root.local)
    yield "dubwright_disk_bytes", ("free",), disk.free
    yield "dubwright_disk_bytes", ("total",), disk.total
    for gpu in gpus():
        if gpu.busy is not None:
            yield "dubwright_gpu_utilization_ratio", (gpu.index, gpu.name), gpu.busy
        yield "dubwright_gpu_memory_bytes", (gpu.index, gpu.name, "used"), gpu.used_bytes
        yield "dubwright_gpu_memory_bytes", (gpu.index, gpu.name, "total"), gpu.total_bytes


def _text(value: Any) -> str:
    return "" if value is None else str(value)
