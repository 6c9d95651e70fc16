"""What a run leaves in Prefect for a person: tables, words, pictures, links that open, and the lineage of it all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.runtime import flow_run

from flows.artifacts import publish, summary
from flows.lineage import made_by
from flows.run import item


def result_of(report: Path) -> dict[str, Any]:
    return {
        "run_id": "run-1", "counts": {"ok": 1, "rejected": 0, "failed": 1}, "seconds": 61.0, "report": str(report),
        "items": [item("a", "a.mp4", None, "ok", None, None), item("b", "b.mp4", None, "failed", "probe", "torn")],
        "dataset": "people@3f2a", "model": "m1", "promoted": True, "verdict": "m1 promoted: sync better",
    }  # fmt: skip


def shown_by() -> dict[str, Any]:
    face = cv2.imencode(".jpg", np.full((64, 64, 3), 90, np.uint8))[1].tobytes()
    return {
        "clips": [{"status": "ok", "crops": [face]}],
        "training": {"losses": [(1, 1.0), (9, 0.1)], "loss": 0.1, "started from": "studio@1"},
        "evaluation": [{"model": "studio@1 (champion)", "lse_c": "4.1"}, {"model": "studio@2", "lse_c": "4.6"}],
        "gate": {
            "promoted": True, "reason": "sync better",
            "differences": [{"metric": "lse_c", "difference": 0.5, "low": 0.2, "high": 0.8, "verdict": "better"}],
        },
        "lineage": {"model": "studio@2", "model id": "m1", "dataset": "people@3f2a"},
        "renders": [{"status": "ok", "render_id": "r1", "model_id": "m1"}, {"status": "failed", "render_id": None}],
    }  # fmt: skip


def test_the_words_say_what_was_decided_and_why(tmp_path: Path) -> None:
    text = summary(result_of(tmp_path / "index.html"), "nightly", shown_by())
    assert "1 ok, 0 rejected, 1 failed" in text and "**promoted**: sync better" in text
    assert "- dataset: `people@3f2a`" in text
    idle = {**result_of(tmp_path / "index.html"), "table": "nothing new: no training"}
    assert "nothing new: no training" in summary(idle, "nightly", {})


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_url")
def test_a_run_leaves_tables_pictures_words_and_a_link(tmp_path: Path) -> None:
    report = tmp_path / "runs" / "run-1" / "report" / "index.html"
    report.parent.mkdir(parents=True)
    report.write_text("a report")

    @flow(name="testing artifacts")
    def run() -> str:
        publish(result_of(report), "nightly", shown_by())
        return str(flow_run.id)

    made = run()
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[made])), limit=50
        )
    kinds = {entry.key: entry.type for entry in found}
    assert kinds == {
        "nightly-items": "table", "nightly-metrics": "table", "nightly-summary": "markdown", "nightly-gate": "table",
        "nightly-report": "markdown", "nightly-clips": "image", "nightly-loss": "image",
    }  # fmt: skip
    by_key = {entry.key: entry for entry in found}
    assert "studio@2" in str(by_key["nightly-metrics"].data)
    assert by_key["nightly-metrics"].description == "m1 promoted: sync better"
    assert report.as_uri() in str(by_key["nightly-report"].data)
    assert str(by_key["nightly-clips"].data).startswith("data:image/jpeg;base64,"), "a picture that needs a network"


def test_what_was_made_is_told_with_what_it_was_made_from(tmp_path: Path) -> None:
    dataset, model, renders = made_by(result_of(tmp_path / "index.html"), shown_by())
    assert (dataset.key, list(dataset.upstream)) == ("dubwright://datasets/people@3f2a", [])
    assert (model.key, list(model.upstream)) == ("dubwright://models/m1", [dataset.key])
    assert (renders.key, list(renders.upstream)) == ("dubwright://renders/run-1", [model.key])
    assert renders.facts["renders"] == ["r1"] and model.facts["promoted"] is True
    nothing_new = {**result_of(tmp_path / "index.html"), "model": None}
    assert made_by(nothing_new, {"dataset": {"version": "people@3f2a"}}) == []
