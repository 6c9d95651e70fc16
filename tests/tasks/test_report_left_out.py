"""Faces of clips that were left out are found where the step that cut them kept its results."""

from __future__ import annotations

from pathlib import Path

from storage.catalog import Catalog
from storage.layout import Root
from storage.step_fields import step_fields
from storage.step_parts import written_part
from tasks.report_left_out import PLACE, faces_left_out
from tasks.steps.store import Store


def test_faces_come_from_the_results_of_the_step(tmp_path: Path) -> None:
    root = Root(tmp_path)
    store = Store(root.cache / "steps")
    rows = [
        {"clip_id": f"c{number}", "source_id": "film", "track_id": number, "start_s": 0.0, "end_s": 1.0 + number}
        for number in range(3)
    ]
    assert faces_left_out(root, rows) == {}  # no ledger
    with written_part(store.path("tracks", "aa1"), step_fields(PLACE)) as writer:
        for number, row in enumerate(rows):
            writer.write(number, {"status": "ok"}, {name: row[name] for name in PLACE})
    with written_part(store.path("crops", "bb2"), step_fields(["crops"])) as writer:
        writer.write(1, {"status": "ok"}, {"crops": [b"first", b"middle", b"last"]})
        writer.write(2, {"status": "failed"}, {})
    ledger = [{"step_id": step, "source_id": "film", "step": step, "key": key}
              for step, key in (("tracks", "aa1"), ("crops", "bb2"))]  # fmt: skip
    Catalog(root).upsert("steps", ledger)
    assert faces_left_out(root, rows) == {"c1": b"middle"}
    store.path("crops", "bb2").unlink()  # the cache may be emptied at any time
    assert faces_left_out(root, rows) == {}
    assert faces_left_out(root, []) == {}
