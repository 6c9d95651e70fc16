"""What a manifest asks for, row by row, and what makes one render another."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storage import media
from storage.errors import InputRejected, UsageError, outcome
from storage.ids import file_sha256
from storage.layout import Root
from tasks.config import Config
from tasks.dubber import render_key
from tasks.jobs import Job, Planner, read_manifest


def test_a_manifest_gives_each_face_a_track_and_says_how_strongly_and_what_first(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(
        "video,audio,emotion,intensity,priority\na.mp4,b.wav | c.wav,moods.vtt,2,10\na.mp4,b.wav,0: calm | 5: sad,,\n"
    )
    first, second = read_manifest(path)
    assert first.tracks == (str(tmp_path / "b.wav"), str(tmp_path / "c.wav"))
    assert (first.emotion, first.intensity, first.priority) == (str(tmp_path / "moods.vtt"), 2, 10)
    assert (second.voices, second.emotion, second.intensity, second.priority) == ((), "0: calm | 5: sad", None, 0)
    listed = tmp_path / "m.jsonl"
    listed.write_text('{"video": "a.mp4", "audio": ["b.wav", "c.wav"], "priority": -1}\n')
    (job,) = read_manifest(listed)
    assert (job.tracks, job.priority) == (first.tracks, -1)


def test_a_render_is_another_with_another_voice_intensity_or_file_of_emotions(
    tmp_path: Path, config: Config, track: Path
) -> None:
    root, other = Root(config.root).create(), tmp_path / "other.wav"
    media.write_audio(other, np.zeros(800, np.float32))
    moods = tmp_path / "moods.csv"
    moods.write_text("start_s,emotion\n0,sad\n")
    plain = Job(str(track), str(track), "sad")
    jobs = [
        plain, replace(plain, voices=(str(other),)), replace(plain, voices=(str(track),)), replace(plain, intensity=3),
        replace(plain, emotion="0: sad | 1: happy"), replace(plain, emotion="happy"),
    ]  # fmt: skip
    keys = [Planner("dub", config, "m", root).plan(job).key for job in jobs]
    assert len(set(keys)) == len(jobs)
    assert keys[0] == render_key(file_sha256(track), file_sha256(track), config, "m", "sad")
    by_file = replace(plain, emotion=str(moods))
    assert Planner("dub", config, "m", root).plan(by_file).key == keys[0]
    moods.write_text("start_s,emotion\n0,angry\n")
    assert Planner("dub", config, "m", root).plan(by_file).key not in keys
    moods.write_text("start_s,emotion\nsoon,angry\n")
    with pytest.raises(UsageError, match="row 1"):
        Planner("dub", config, "m", root).plan(by_file)
    with pytest.raises(InputRejected, match="row 1"):
        Planner("dub", config, "m", root).plan(replace(by_file, confined=True))
    row = outcome(_raised(by_file, config, root))
    assert (row["status"], row["stage"], row["measure"]) == ("rejected", "plan", "emotion")


def _raised(job: Job, config: Config, root: Root) -> InputRejected:
    with pytest.raises(InputRejected) as caught:
        Planner("dub", config, "m", root).plan(replace(job, confined=True))
    return caught.value


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("video,audio,intensity\na.mp4,b.wav,much\n", "row 1: intensity is no number"),
        ("video,audio,priority\na.mp4,b.wav,1\na.mp4,b.wav,first\n", "row 2: priority is no number"),
        ("video,audio\na.mp4,|\n", "row 1 lacks"),
        ("video,audio,voices\na.mp4,b.wav,c.wav\n", "unknown column voices"),
    ],
)
def test_mistakes_are_named_by_row(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(UsageError, match=named):
        read_manifest(tmp_path / "m.csv")
