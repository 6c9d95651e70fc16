"""A step that kills its worker, one that never ends, and a run that is killed: what each of them costs."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage import media
from tasks import preprocess
from tasks.config import Config
from tasks.preprocess import preprocess_many
from tasks.probe import Source, find_sources
from tasks.steps.step import Clip, Step
from tasks.steps.store import Store
from tasks.steps.walk import Walker
from tests.tasks.test_preprocess import done


class DeadlyWalker(Walker):
    """Its step `sync` takes the process down, as a library that crashes does, for the clips of one file."""

    def _each(self, step: Step, clips: Sequence[Clip]) -> Iterator[Any]:
        usual = step.each

        def deadly(clip: Clip, config: Config, experts: Any) -> dict[str, Any]:
            if Path(clip.source.uri).name.startswith("deadly"):
                os.kill(os.getpid(), signal.SIGKILL)
            return usual(clip, config, experts) if usual is not None else {}

        yield from super()._each(replace(step, each=deadly) if step.name == "sync" else step, clips)


class DeadlyWorker(preprocess.SourceWorker):
    """A worker with such a step, which runs until the watch leaves the clip out."""

    def walker(self, store: Store) -> Walker:
        usual = super().walker(store)
        return DeadlyWalker(self._config, usual._experts, store, self._watch, self._retry)


SHORT = {"preprocess.min_clip_s": 0.4, "preprocess.drop_duplicates": False}
"""Settings for the films of `many`, which are short and all the same take."""


def many(folder: Path, talking: Path, count: int) -> list[Source]:
    """Files of 16 frames that differ in a corner of the picture."""
    frames = [frame for _, _, frame in media.iter_frames(talking)]
    sound = media.read_audio(talking, 16000)
    folder.mkdir(exist_ok=True)
    for number in range(count):
        marked = [frame.copy() for frame in frames[:16]]
        for frame in marked:
            frame[:8, :8] = (number % 16 * 16, number // 16 % 16 * 16, number // 256 * 60)
        name = "deadly.mp4" if number == count // 2 else f"clip{number:03d}.mp4"
        media.write_video(folder / name, marked, 25, sound[: 16 * 640])
    return find_sources([folder])


@pytest.mark.slow
def test_a_step_that_kills_its_process_costs_one_clip(
    talking: Path, config: Config, tmp_path: Path, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of DUBWRIGHT_POISON films (60; the figure in the docs is of 200)."""
    count = int(os.environ.get("DUBWRIGHT_POISON", "60"))
    sources = many(tmp_path / "many", talking, count)
    config = config.with_(SHORT | {"runtime.in_process": False})
    monkeypatch.setattr(preprocess, "SourceWorker", DeadlyWorker)
    built = preprocess_many(sources, "set", config)
    assert len(built.clips) == count
    lost = [clip for clip in built.clips if clip["status"] != "ok"]
    assert [Path(clip["source_uri"]).name for clip in lost] == ["deadly.mp4"]
    assert (lost[0]["status"], lost[0]["stage"], lost[0]["error_type"]) == ("failed", "sync", "WorkerDied")
    assert "quarantined" in lost[0]["reason"]
    monkeypatch.undo()
    again = preprocess_many(sources, "set", config)
    assert not done(again)
    assert sum(clip["status"] == "failed" for clip in again.clips) == 1
    mended = preprocess_many(sources, "set", config, retry_failed=True)
    assert done(mended)["sync"] == 1
    assert all(clip["status"] == "ok" for clip in mended.clips)
    more = many(tmp_path / "many", talking, count + 1)
    grown = preprocess_many(more, "set", config)
    assert len(grown.clips) == count + 1
    assert set(done(grown).values()) == {1}


class StuckWalker(Walker):
    """Its step `sound` never ends for one file."""

    def _each(self, step: Step, clips: Sequence[Clip]) -> Iterator[Any]:
        usual = step.each

        def endless(clip: Clip, config: Config, experts: Any) -> dict[str, Any]:
            if Path(clip.source.uri).name.startswith("deadly"):
                time.sleep(600)
            return usual(clip, config, experts) if usual is not None else {}

        yield from super()._each(replace(step, each=endless) if step.name == "sound" else step, clips)


class StuckWorker(preprocess.SourceWorker):
    """A worker with such a step."""

    def walker(self, store: Store) -> Walker:
        usual = super().walker(store)
        return StuckWalker(self._config, usual._experts, store, self._watch, self._retry)


@pytest.mark.slow
def test_a_step_that_never_ends_is_ended(
    talking: Path, config: Config, tmp_path: Path, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = many(tmp_path / "many", talking, 4)
    limited = SHORT | {"runtime.in_process": False, "runtime.clip_limit_s": 8.0}
    monkeypatch.setattr(preprocess, "SourceWorker", StuckWorker)
    built = preprocess_many(sources, "set", config.with_(limited))
    lost = [clip for clip in built.clips if clip["status"] != "ok"]
    assert [(clip["stage"], clip["error_type"]) for clip in lost] == [("sound", "TimeLimit")]
    assert len(built.clips) == 4


_RUN = """
import sys
from pathlib import Path
from tasks.config import load_config
from tasks.preprocess import preprocess_many
from tasks.probe import find_sources
config = load_config(root=sys.argv[1], overrides={"runtime.in_process": True, "preprocess.min_clip_s": 0.4,
    "preprocess.drop_duplicates": False})
preprocess_many(find_sources([Path(sys.argv[2])]), "set", config)
"""


def run_aside(root: Path, footage: Path) -> subprocess.Popen[bytes]:
    """The whole of it in a process of its own."""
    quiet = subprocess.DEVNULL
    return subprocess.Popen([sys.executable, "-c", _RUN, str(root), str(footage)], stdout=quiet, stderr=quiet)


def content(root: Path) -> dict[str, str]:
    """Name and hash of every file of the dataset's versions."""
    folders = [path for path in (root / "datasets" / "set").iterdir() if path.is_dir()]
    files = (file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file())
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.slow
def test_killed_at_any_moment_the_dataset_is_the_same_to_the_byte(talking: Path, tmp_path: Path) -> None:
    many(tmp_path / "footage", talking, 24)
    began = time.monotonic()
    assert run_aside(tmp_path / "whole", tmp_path / "footage").wait() == 0
    length = time.monotonic() - began
    kills_wanted = int(os.environ.get("DUBWRIGHT_KILLS", "2"))
    moments = np.random.default_rng(0).uniform(0.3, 0.9, kills_wanted) * length
    kills = 0
    for moment in moments:
        process = run_aside(tmp_path / "killed", tmp_path / "footage")
        try:
            process.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
    assert kills
    assert run_aside(tmp_path / "killed", tmp_path / "footage").wait() == 0
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    assert content(tmp_path / "whole")
