"""Inputs: what is found in folders and manifests, and every input as a row, whatever it is."""

from pathlib import Path

import numpy as np
import pytest

from storage import media
from storage.errors import UsageError
from tasks.config import load_config
from tasks.probe import Source, find_sources, probe_source
from tests.tasks.conftest import grey_noise


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("in")
    sound = np.sin(np.arange(16000) / 20).astype(np.float32)
    media.write_video(folder / "whole.mp4", grey_noise(25), 25, sound)
    media.write_video(folder / "silent.mp4", grey_noise(25, seed=1), 25)
    media.write_audio(folder / "only.wav", sound)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("this is no film\n" * 50)
    data = (folder / "whole.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(data[: len(data) // 2])
    return folder


@pytest.mark.parametrize(
    ("name", "status", "word"),
    [
        ("whole.mp4", "ok", ""),
        ("silent.mp4", "rejected", "audio"),
        ("only.wav", "rejected", "sound only"),
        ("empty.mp4", "rejected", "empty"),
        ("text.mp4", "failed", "text"),
        ("cut.mp4", "failed", "truncated"),
        ("missing.mp4", "failed", "missing.mp4"),
    ],
)
def test_every_input_is_a_row_that_says_why(footage: Path, name: str, status: str, word: str) -> None:
    row, info = probe_source(Source(str(footage / name), speaker="anna"), "set", load_config())
    assert row["status"] == status
    assert word in (row["reason"] or "")
    assert row["speaker"] == "anna"
    assert row["source_id"]
    assert (info is not None) == (status == "ok")


def test_what_was_found_is_told(footage: Path) -> None:
    row, _ = probe_source(Source(str(footage / "whole.mp4")), "set", load_config())
    assert (row["width"], row["height"], row["num_frames"], row["fps"]) == (128, 96, 25, 25.0)
    assert (row["video_codec"], row["audio_codec"]) == ("h264", "aac")
    assert row["bytes"] == (footage / "whole.mp4").stat().st_size


def test_a_silent_video_may_be_dubbed(footage: Path) -> None:
    row, _ = probe_source(Source(str(footage / "silent.mp4")), "set", load_config(), need_audio=False)
    assert row["status"] == "ok"


def test_too_long_a_video_is_rejected_with_its_measure(footage: Path) -> None:
    config = load_config(overrides={"preprocess.max_source_s": 0.5})
    row, _ = probe_source(Source(str(footage / "whole.mp4")), "set", config)
    assert (row["status"], row["measure"], row["threshold"]) == ("rejected", "duration_s", 0.5)
    assert row["value"] == pytest.approx(1.0, abs=0.1)


def test_a_folder_gives_its_media_files_in_a_stable_order(footage: Path) -> None:
    (footage / "notes.txt").write_text("no input")
    (footage / ".hidden.mp4").write_bytes(b"x")
    names = [Path(source.uri).name for source in find_sources([footage])]
    assert names == ["cut.mp4", "empty.mp4", "only.wav", "silent.mp4", "text.mp4", "whole.mp4"]


def test_a_file_named_twice_is_taken_once(footage: Path) -> None:
    assert len(find_sources([footage / "whole.mp4", footage, footage / "whole.mp4"])) == 6


def test_a_place_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        find_sources([tmp_path / "nowhere"])


def test_a_manifest_labels_the_files_of_its_folder(footage: Path, tmp_path: Path) -> None:
    for name in ("whole.mp4", "silent.mp4", "only.wav"):
        (tmp_path / name).write_bytes((footage / name).read_bytes())
    (tmp_path / "manifest.csv").write_text(
        "video,audio,speaker,emotion,intensity,split\nwhole.mp4,only.wav,anna,happy,2,test\ngone.mp4,,ben,,,\n"
    )
    found = {Path(source.uri).name: source for source in find_sources([tmp_path])}
    assert set(found) == {"whole.mp4", "silent.mp4", "gone.mp4"}
    labelled = found["whole.mp4"]
    assert (labelled.speaker, labelled.emotion, labelled.intensity, labelled.split) == ("anna", "happy", 2, "test")
    assert found["silent.mp4"].speaker is None
    assert [Path(source.uri).name for source in find_sources([tmp_path / "manifest.csv"])] == ["whole.mp4", "gone.mp4"]


def test_a_table_of_dub_jobs_labels_nothing(footage: Path, tmp_path: Path) -> None:
    (tmp_path / "whole.mp4").write_bytes((footage / "whole.mp4").read_bytes())
    (tmp_path / "manifest.csv").write_text("video,audio,emotion,speakers,output\nwhole.mp4,x.wav,happy,,out.mp4\n")
    assert [source.emotion for source in find_sources([tmp_path])] == [None]


def test_a_manifest_without_videos_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("file\na.mp4\n")
    with pytest.raises(UsageError, match="video"):
        find_sources([tmp_path / "list.csv"])
