"""Many sources: rows in = rows out, a rerun does only what is missing, and a killed worker costs one source."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from storage import media
from storage.layout import Root
from storage.ledger import Ledger
from storage.shards import read_rows
from storage.versions import diff_versions, show_version
from tasks import preprocess
from tasks.config import Config
from tasks.masks import EYES, FACE, LIPS, OUTSIDE
from tasks.preprocess import preprocess_many
from tasks.probe import Source, find_sources
from tests.tasks.conftest import FRAMES, grey_noise


@pytest.fixture
def folder(tmp_path: Path, talking: Path) -> Path:
    place = tmp_path / "in"
    place.mkdir()
    sound = np.sin(np.arange(16000) / 20).astype(np.float32)
    (place / "talking.mp4").write_bytes(talking.read_bytes())
    (place / "again.mp4").write_bytes(talking.read_bytes())
    (place / "empty.mp4").write_bytes(b"")
    (place / "text.mp4").write_text("this is no film\n" * 50)
    media.write_video(place / "noface.mp4", grey_noise(20), 25, sound)
    return place


def test_every_input_becomes_rows_and_a_rerun_does_nothing_again(folder: Path, config: Config) -> None:
    told: list[str] = []
    built = preprocess_many(find_sources([folder]), "set", config, on_row=lambda kind, row: told.append(row["uri"]))
    by_name = {Path(row["uri"]).name: row for row in built.sources}
    assert set(by_name) == {"talking.mp4", "again.mp4", "empty.mp4", "text.mp4", "noface.mp4"}
    statuses = [by_name[name]["status"] for name in ("again.mp4", "empty.mp4", "noface.mp4", "talking.mp4", "text.mp4")]
    assert statuses == ["ok", "rejected", "rejected", "rejected", "failed"]
    assert by_name["talking.mp4"]["measure"] == "same_bytes"
    assert "no face" in by_name["noface.mp4"]["reason"]
    assert {clip["source_id"] for clip in built.clips} == {row["source_id"] for row in built.sources}
    assert len(told) == 4
    kept = [clip for clip in built.clips if clip["status"] == "ok"]
    assert len(kept) == 1
    assert kept[0]["num_frames"] == FRAMES
    assert kept[0]["split"] == "train"
    assert show_version(Root(config.root), "set").counts == {"ok": 1, "rejected": 3, "failed": 1}
    assert not list(Root(config.root).cache.rglob("*.partial"))

    parts = {path: path.stat().st_mtime_ns for path in Root(config.root).cache.rglob("*.parquet")}
    again = preprocess_many(find_sources([folder]), "set", config)
    assert again.version == built.version
    assert {path: path.stat().st_mtime_ns for path in parts} == parts


def test_a_kept_clip_is_whole(talking: Path, config: Config) -> None:
    built = preprocess_many([Source(str(talking), speaker="s1", emotion="happy", intensity=2)], "set", config)
    (clip,) = read_rows(built.folder)
    count, size = clip["num_frames"], clip["crop_size"]
    crops = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in clip["crops"]]
    masks = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) for data in clip["masks"]]
    assert len(crops) == len(masks) == len(clip["pts"]) == count == FRAMES
    assert all(crop.shape == (size, size, 3) for crop in crops)
    assert set(np.unique(masks[0])) == {OUTSIDE, FACE, LIPS, EYES}
    assert np.allclose(np.diff(clip["pts"]), 0.04)
    assert len(clip["landmarks"]) == count * 212
    assert len(clip["kps"]) == count * 10
    assert len(clip["matrices"]) == count * 6
    audio = np.frombuffer(clip["audio"], "<i2")
    assert len(audio) == round((clip["end_s"] - clip["start_s"]) * 16000)
    assert np.abs(audio).max() > 1000
    assert len(np.frombuffer(clip["mel"], np.float16)) == 80 * clip["mel_frames"]
    assert (clip["speaker"], clip["emotion"], clip["intensity"]) == ("s1", "happy", 2)
    assert "happily" in clip["caption"]
    assert clip["face_ratio"] >= 0.9
    assert abs(clip["yaw"]) < 0.8


def test_a_dataset_grows_and_keeps_what_it_had(folder: Path, talking: Path, config: Config, tmp_path: Path) -> None:
    first = preprocess_many([Source(str(talking), speaker="s1")], "set", config)
    more = preprocess_many([Source(str(folder / "noface.mp4"))], "set", config)
    difference = diff_versions(config.root, f"set@{first.version}", f"set@{more.version}")
    assert len(difference.added) == 1
    assert not difference.removed
    assert not difference.changed


def test_other_thresholds_measure_anew(talking: Path, config: Config) -> None:
    strict = config.with_({"preprocess.min_face_px": 5000})
    assert preprocess_many([Source(str(talking))], "set", config).clips[0]["status"] == "ok"
    (clip,) = preprocess_many([Source(str(talking))], "set", strict).clips
    assert (clip["status"], clip["stage"], clip["measure"]) == ("rejected", "faces", "face_px")
    assert clip["value"] < clip["threshold"] == 5000
    assert clip["blur"] > 0


class _Dies:
    """Stands for a pool of workers one of which dies on some sources: their rows never come back."""

    def __init__(self, dying: set[str], starts: bool = True) -> None:
        self.dying, self.starts, self.given = dying, starts, 0

    def __call__(self, items: list[Any], dataset: str, config: Config, ledger: Ledger) -> Iterator[dict[str, Any]]:
        self.given += len(items)
        worker = preprocess.SourceWorker(config.model_dump(mode="json"), dataset, str(ledger.path))
        for item in items:
            if Path(item.source.uri).name in self.dying:
                for _ in range(2 if self.starts else 0):
                    ledger.record(item.key, "started")
                continue
            yield worker({"key": item.key, "folder": str(item.folder), "source": item.source.as_dict()})


def test_a_source_that_kills_its_worker_is_recorded_tried_again_and_then_left_out(
    folder: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [Source(str(folder / "noface.mp4")), Source(str(folder / "empty.mp4"))]
    pool = _Dies({"noface.mp4"})
    monkeypatch.setattr(preprocess, "_answers", pool)
    for run in range(2):
        rows = {Path(row["uri"]).name: row for row in preprocess_many(sources, "set", config).sources}
        assert rows["empty.mp4"]["status"] == "rejected"
        assert (rows["noface.mp4"]["status"], rows["noface.mp4"]["error_type"]) == ("failed", "WorkerDied"), run
    before = pool.given
    rows = {Path(row["uri"]).name: row for row in preprocess_many(sources, "set", config).sources}
    assert pool.given == before
    assert "not tried again" in rows["noface.mp4"]["reason"]


def test_workers_that_cannot_start_do_not_blame_the_sources_for_ever(
    folder: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preprocess, "_answers", _Dies({"noface.mp4"}, starts=False))
    (row,) = preprocess_many([Source(str(folder / "noface.mp4"))], "set", config).sources
    assert row["status"] == "failed"
    monkeypatch.undo()
    (row,) = preprocess_many([Source(str(folder / "noface.mp4"))], "set", config).sources
    assert row["status"] == "rejected"


@pytest.mark.slow
def test_by_ray_data_it_comes_out_the_same(folder: Path, config: Config, ray_session: None) -> None:
    here = preprocess_many(find_sources([folder]), "set", config)
    elsewhere = config.with_({"root": config.root + "2", "runtime.in_process": False})
    there = preprocess_many(find_sources([folder]), "set", elsewhere)
    assert there.version == here.version
    assert [row["status"] for row in there.sources] == [row["status"] for row in here.sources]


class PoisonedWorker(preprocess.SourceWorker):
    """Dies, as a decoder that crashes does, on one of the files."""

    def __call__(self, task: dict[str, Any]) -> dict[str, Any]:
        if Path(task["source"]["uri"]).name == "noface.mp4":
            self._ledger.record(task["key"], "started")
            os._exit(1)
        return super().__call__(task)


@pytest.mark.slow
def test_a_crash_in_a_ray_worker_costs_one_source(
    folder: Path, config: Config, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preprocess, "SourceWorker", PoisonedWorker)
    built = preprocess_many(find_sources([folder]), "set", config.with_({"runtime.in_process": False}))
    rows = {Path(row["uri"]).name: row for row in built.sources}
    assert len(rows) == 5
    assert rows["noface.mp4"]["error_type"] == "WorkerDied"
    assert sorted(row["status"] for name, row in rows.items() if name != "noface.mp4") == [
        "failed", "ok", "rejected", "rejected",
    ]  # fmt: skip
