"""Many sources: rows in = rows out, a rerun does only what is missing, and a killed worker costs one source."""

import os
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from storage import media
from storage.errors import NotFound, WorkersFailed
from storage.layout import Root
from storage.shards import read_rows
from storage.versions import diff_versions, show_version
from tasks import preprocess
from tasks.config import Config
from tasks.masks import EYES, FACE, LIPS, OUTSIDE
from tasks.preprocess import preprocess_many
from tasks.probe import Source, find_sources
from tasks.steps.store import Store
from tasks.steps.watch import DIED
from tests.storage.test_media_digests import remux
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
    assert "delight" in clip["caption"] or "happ" in clip["caption"]
    assert clip["face_ratio"] >= 0.9
    assert abs(clip["yaw"]) < 0.8


def test_a_dataset_grows_and_keeps_what_it_had(folder: Path, talking: Path, config: Config, tmp_path: Path) -> None:
    first = preprocess_many([Source(str(talking), speaker="s1")], "set", config)
    more = preprocess_many([Source(str(folder / "noface.mp4"))], "set", config)
    difference = diff_versions(config.root, f"set@{first.version}", f"set@{more.version}")
    assert len(difference.added) == 1
    assert not difference.removed
    assert not difference.changed


def parts(config: Config) -> dict[Path, int]:
    """Every part of a step with the time at which it was written."""
    return {path: path.stat().st_mtime_ns for path in Store.of(config).folder.rglob("*.parquet")}


def done(built: Any) -> dict[str, int]:
    """Clips that each step was done to."""
    return {name: tally.done for name, tally in built.steps.items() if tally.done}


def test_other_thresholds_judge_anew_and_compute_nothing(talking: Path, config: Config) -> None:
    strict = config.with_({"preprocess.min_face_px": 5000})
    assert preprocess_many([Source(str(talking))], "set", config).clips[0]["status"] == "ok"
    before = {path: when for path, when in parts(config).items() if "verdicts" not in path.parts}
    built = preprocess_many([Source(str(talking))], "set", strict)
    (clip,) = built.clips
    assert (clip["status"], clip["stage"], clip["measure"]) == ("rejected", "faces", "face_px")
    assert clip["value"] < clip["threshold"] == 5000
    assert not done(built)
    assert before.items() <= parts(config).items()
    assert preprocess_many([Source(str(talking))], "set", config).clips[0]["status"] == "ok"


def test_a_changed_step_touches_itself_and_what_follows_from_it(talking: Path, config: Config) -> None:
    first = preprocess_many([Source(str(talking))], "set", config)
    assert set(done(first)) >= {"tracks", "crops", "sync", "sound", "action_units", "caption"}
    worded = config.with_({"captions.template": "{subject} talks {feeling}."})
    assert set(done(preprocess_many([Source(str(talking))], "set", worded))) == {"caption"}
    label = preprocess_many([Source(str(talking), emotion="sad", intensity=3)], "set", config)
    assert set(done(label)) == {"caption"}
    difference = diff_versions(config.root, f"set@{first.version}", f"set@{label.version}")
    assert not difference.added
    assert not difference.removed
    changed = set(difference.fields)
    assert {"caption", "emotion"} <= changed
    assert not changed & {"crops", "audio", "mel", "identity", "landmarks"}


def test_new_sound_leaves_the_crops_alone(talking: Path, track: Path, config: Config, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(talking.read_bytes())
    first = preprocess_many([Source(str(film), audio=str(talking))], "set", config)
    other = preprocess_many([Source(str(film), audio=str(track))], "set", config)
    assert {"tracks", "crops", "action_units"}.isdisjoint(done(other))
    assert {"sync", "sound"} <= set(done(other))
    difference = diff_versions(config.root, f"set@{first.version}", f"set@{other.version}")
    assert {"audio", "mel"} <= set(difference.fields)
    assert not {"crops", "landmarks", "identity"} & set(difference.fields)


@pytest.mark.parametrize("shift", [7, -5])
def test_sound_that_is_off_is_taken_where_it_fits_the_lips(
    library: Path, config: Config, tmp_path: Path, shift: int
) -> None:
    frames = [frame for _, _, frame in media.iter_frames(library / "welcome.mp4")]
    sound = media.read_audio(library / "welcome.mp4", 16000)[: len(frames) * 640]
    late = np.roll(sound, shift * 640)
    film = media.write_video(tmp_path / "late.mp4", frames, 25, late)
    built = preprocess_many([Source(str(film))], "set", config)
    (clip,) = (clip for clip in read_rows(built.folder) if clip["status"] == "ok")
    assert abs(clip["sync_offset"] - shift) <= 1
    assert clip["sync_correction"] == clip["sync_offset"]
    assert clip["sync_residual"] == 0
    heard = np.frombuffer(clip["audio"], "<i2").astype(np.float32)
    inner = slice(16000, len(heard) - 16000)
    lags = range(-12, 13)
    alike = [np.corrcoef(heard[inner], np.roll(sound, lag * 640)[: len(heard)][inner])[0, 1] for lag in lags]
    assert abs(lags[int(np.argmax(alike))]) <= 1
    assert len(clip["speaking"]) == clip["num_frames"] == len(clip["pts"])
    assert clip["speaking_share"] > 0.5


def test_a_film_under_two_sounds_is_two_clips_and_new_sound_at_its_place_makes_one_of_them(
    talking: Path, track: Path, config: Config, tmp_path: Path
) -> None:
    film, dubbed = remux(talking, tmp_path / "film.mp4"), remux(talking, tmp_path / "dubbed.mp4", sound=track)
    first = preprocess_many([Source(str(film))], "set", config)
    both = preprocess_many([Source(str(dubbed))], "set", config)
    assert {"tracks", "crops", "action_units"}.isdisjoint(done(both))
    assert show_version(Root(config.root), f"set@{both.version}").counts == {"ok": 2}
    preprocess_many([Source(str(film))], "other", config)
    film.write_bytes(dubbed.read_bytes())
    again = preprocess_many([Source(str(film))], "other", config)
    assert show_version(Root(config.root), f"other@{again.version}").counts == {"ok": 1}
    assert first.clips[0]["clip_id"] not in {both.clips[0]["clip_id"], again.clips[0]["clip_id"]}


@pytest.mark.slow
@pytest.mark.parametrize("end", ["raises", "is killed"])
def test_workers_that_cannot_start_end_the_run_with_their_cause_and_blame_no_source(
    end: str, folder: Path, config: Config, monkeypatch: pytest.MonkeyPatch, ray_session: None
) -> None:
    class Broken:
        """A worker that ends as it starts."""

        def __init__(self, *given: object) -> None:
            if end == "raises":
                raise RuntimeError("no room for the networks")
            os.kill(os.getpid(), signal.SIGKILL)

        def __call__(self, row: dict[str, object]) -> dict[str, object]:
            return row

    sources = [Source(str(folder / "noface.mp4"))]
    with monkeypatch.context() as patch:
        patch.setattr(preprocess, "SourceWorker", Broken)
        with pytest.raises(WorkersFailed, match="no room for the networks" if end == "raises" else "killed"):
            preprocess_many(sources, "set", config.with_({"runtime.in_process": False, "runtime.actors": 2}))
    (row,) = preprocess_many(sources, "set", config).sources
    assert row["status"] == "rejected"


def test_workers_that_go_with_all_their_nodes_make_no_version_without_their_films(
    folder: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster whose last node is killed takes no films up any more, and says nothing."""
    sources, answers = find_sources([folder]), preprocess._answers
    with monkeypatch.context() as patch:
        patch.setattr(preprocess, "_answers", lambda items, *told: list(answers(items[:1], *told)) if items[1:] else [])
        with pytest.raises(WorkersFailed, match="before they took up any"):
            preprocess_many(sources, "set", config)
    with pytest.raises(NotFound):
        show_version(Root(config.root), "set")
    done = preprocess_many(sources, "set", config)
    assert len(done.sources) == len(sources) and DIED not in {row["error_type"] for row in done.sources}


@pytest.mark.slow
def test_by_ray_data_it_comes_out_the_same(folder: Path, config: Config, ray_session: None) -> None:
    here = preprocess_many(find_sources([folder]), "set", config)
    elsewhere = config.with_({"root": config.root + "2", "runtime.in_process": False})
    there = preprocess_many(find_sources([folder]), "set", elsewhere)
    assert there.version == here.version
    assert [row["status"] for row in there.sources] == [row["status"] for row in here.sources]
