"""What a root can be watched by."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from storage.catalog import Catalog
from storage.layout import Root
from storage.ledger import Ledger
from storage.registry import Registry
from storage.schema import CLIPS, RENDERS, RUNS, SOURCES, STEPS, row
from tasks.evaluate_gate import ALIKE, BETTER, Difference, Verdict
from tasks.gpus import read_answer
from tasks.metrics import METRICS, NEWEST, Measures
from tasks.nights import keep_verdict

NOON = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)


def found(root: Root) -> Mapping[tuple[str, ...], float]:
    """(name, label values…) → value; each series once, with as many labels as its metric has."""
    values: dict[tuple[str, ...], float] = {}
    for name, labels, value in Measures(root).samples():
        assert len(labels) == len(METRICS[name].labels)
        assert (name, *labels) not in values
        values[(name, *labels)] = value
    return values


def a_model(root: Root, folder: Path, version: int, **metrics: object) -> str:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"%d" % version)
    return Registry(root).register(folder, "dub", metrics=metrics)


def test_an_empty_root_has_metrics(root: Root) -> None:
    values = found(root)
    assert values["dubwright_queue_films",] == values["dubwright_queue_renders",] == 0
    assert values["dubwright_disk_bytes", "total"] >= values["dubwright_disk_bytes", "free"] > 0


def test_every_metric_is_documented_with_its_unit() -> None:
    for name, metric in METRICS.items():
        assert name.startswith("dubwright_") and metric.doc and not name.endswith("_total")
    assert {name for name in METRICS if "seconds" in name and "second" not in METRICS[name].doc.lower()} <= {
        "dubwright_rendered_seconds", "dubwright_step_seconds", "dubwright_step_cpu_seconds",
        "dubwright_render_work_seconds", "dubwright_last_run_timestamp_seconds", "dubwright_last_run_seconds",
        "dubwright_champion_since_timestamp_seconds",
    }  # fmt: skip


def test_throughput_by_step(root: Root) -> None:
    Catalog(root).upsert("steps", [
        row(STEPS, step_id=f"{step}{number}", step=step, status=status, seconds=2.0, cpu_seconds=1.5)
        for number, (step, status) in enumerate([("crops", "ok"), ("crops", "ok"), ("crops", "failed"), ("sync", "ok")])
    ])  # fmt: skip
    values = found(root)
    assert values["dubwright_step_items", "crops", "ok"] == 2 and values["dubwright_step_items", "crops", "failed"] == 1
    assert values["dubwright_step_seconds", "crops"] == 6.0 and values["dubwright_step_cpu_seconds", "sync"] == 1.5


def test_failures_by_class_and_rejections_by_measure(root: Root) -> None:
    catalog = Catalog(root)
    catalog.upsert("sources", [
        row(SOURCES, source_id="a", dataset="talks", uri="/a.mp4", status="ok", duration_s=60.0),
        row(SOURCES, source_id="b", dataset="talks", uri="/b.mp4", status="failed", stage="probe",
            error_type="BrokenFile", duration_s=None),
    ])  # fmt: skip
    catalog.upsert("clips", [
        row(CLIPS, clip_id=str(number), status="rejected", stage="quality", measure="blur") for number in range(3)
    ])  # fmt: skip
    values = found(root)
    assert values["dubwright_failures", "sources", "probe", "BrokenFile"] == 1
    assert values["dubwright_rejections", "clips", "quality", "blur"] == 3
    assert values["dubwright_rows", "clips", "rejected"] == 3
    assert values["dubwright_footage_seconds", "talks", "ok"] == 60.0
    assert values["dubwright_footage_seconds", "talks", "failed"] == 0.0


def test_quality_over_model_versions(root: Root, tmp_path: Path) -> None:
    ids = [
        a_model(root, tmp_path / str(n), n, **{
            "talks@1": {"sync": 2.0 + n, "fid": 30 - n, "bad": float("nan")}, "protocol": ["notes"],
            "training": {"loss": 1.0},
        })
        for n in (1, 2)
    ]  # fmt: skip
    Registry(root).promote(ids[1])
    Catalog(root).upsert("renders", [
        row(RENDERS, render_id=f"{model}{number}", status="ok", model_id=model, duration_s=10.0, render_seconds=4.0,
            sync_confidence_after=number, seam=None)
        for model in ids for number in (3.0, 5.0)
    ])  # fmt: skip
    values = found(root)
    assert values["dubwright_model_quality", "dub", "1", "talks@1", "sync"] == 3.0
    assert values["dubwright_model_quality", "dub", "2", "talks@1", "fid"] == 28.0
    assert values["dubwright_champion_quality", "dub", "talks@1", "sync"] == 4.0
    assert values["dubwright_champion_version", "dub"] == 2 and values["dubwright_models", "dub"] == 2
    assert values["dubwright_render_quality", "dub", "2", "sync_confidence_after"] == 4.0
    assert values["dubwright_rendered_seconds", "dub@1", "ok"] == 20.0
    assert values["dubwright_render_work_seconds", "render"] == 16.0
    assert not [key for key in values if {"bad", "notes", "seam", "loss"} & set(key)]


def test_what_the_gate_of_a_night_said(root: Root, tmp_path: Path) -> None:
    champion, challenger = (a_model(root, tmp_path / str(n), n) for n in (1, 2))
    differences = (Difference("lse_c", 3.0, 3.5, 0.5, 0.4, 0.6, 9, BETTER), Difference("fid", 9, 9, 0, -1, 1, 9, ALIKE))
    verdict = Verdict(True, "better", differences).as_dict()
    keep_verdict(Registry(root), challenger, champion, "talks@1", verdict, {"talks@1": {"lse_c": 3.5}})
    values = found(root)
    assert values["dubwright_gate_promoted", "dub", "2"] == 1.0
    assert values["dubwright_gate_gain", "dub", "2", "lse_c"] == 0.5
    assert values["dubwright_model_quality", "dub", "2", "talks@1", "lse_c"] == 3.5
    assert ("dubwright_gate_promoted", "dub", "1") not in values


def test_old_versions_go_and_the_champion_stays(root: Root, tmp_path: Path) -> None:
    ids = [a_model(root, tmp_path / str(n), n, sync=1.0) for n in range(NEWEST + 2)]
    Registry(root).promote(ids[0])
    told = {int(key[2]) for key in found(root) if key[0] == "dubwright_model_quality"}
    assert told == {1, *range(3, NEWEST + 3)}


def test_the_queue(root: Root) -> None:
    incoming = root.local / "incoming"
    (incoming / "day").mkdir(parents=True)
    for name in ("day/new.mp4", "known.mp4", "notes.txt"):
        (incoming / name).touch()
    Catalog(root).upsert("sources", row(SOURCES, source_id="a", uri=str(incoming / "known.mp4"), status="ok"))
    ledger = Ledger(root.renders / "ledger.jsonl")
    for id, statuses in (("a", ["started"]), ("b", ["started", "ok"]), ("c", ["started", "failed"])):
        for status in statuses:
            ledger.record(id, status)
    values = found(root)
    assert values["dubwright_queue_films",] == 1 and values["dubwright_queue_renders",] == 1


def test_runs(root: Root) -> None:
    def of(number: int, status: str, hours: int, seconds: float) -> dict[str, object]:
        started = NOON + datetime.timedelta(hours=hours)
        return row(RUNS, run_id=str(number), command="nightly --dataset x", status=status, started=started,
                   seconds=seconds, counts=json.dumps({}))  # fmt: skip

    Catalog(root).upsert("runs", [of(1, "ok", 0, 10.0), of(2, "failed", 2, 5.0), of(3, "ok", 1, 20.0)])
    values = found(root)
    assert values["dubwright_runs", "nightly", "ok"] == 2
    assert values["dubwright_last_run_timestamp_seconds", "nightly", "ok"] == NOON.timestamp() + 3600
    assert values["dubwright_last_run_seconds", "nightly"] == 5.0


def test_only_tables_that_changed_are_read_again(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = Catalog(root)
    catalog.upsert("sources", row(SOURCES, source_id="a", uri="/a", status="ok", dataset="x"))
    catalog.upsert("steps", row(STEPS, step_id="a", step="crops", status="ok"))
    measures = Measures(root)
    list(measures.samples())
    read: list[str] = []
    batches = Catalog.batches

    def watched(self: Catalog, table: str, *given: object) -> object:
        read.append(table)
        return batches(self, table, *given)

    monkeypatch.setattr(Catalog, "batches", watched)
    catalog.upsert("steps", row(STEPS, step_id="b", step="crops", status="ok"))
    values = {name: value for name, _, value in measures.samples() if name == "dubwright_step_items"}
    assert values == {"dubwright_step_items": 2} and set(read) == {"steps"}


def test_the_words_of_the_gpu_tool() -> None:
    busy, partition = read_answer(
        ["0, NVIDIA H200, 87, 20480, 143771", "1, NVIDIA H200 MIG 1g, [N/A], 512, 16384", "No devices were found"]
    )
    assert (busy.busy, busy.used_bytes, busy.name) == (0.87, 20480 * 1024**2, "NVIDIA H200")
    assert partition.busy is None and partition.total_bytes == 16 * 1024**3
