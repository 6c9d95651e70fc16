"""A library under way: killed, shared by two runs, with a poisoned file, judged anew; nothing twice, nothing lost."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage import media
from storage.layout import Root
from tasks import library_run
from tasks.config import Config
from tasks.dubbing import pools
from tasks.dubbing.queue import Answer
from tasks.dubbing.worker import DubWorker
from tasks.jobs import Job
from tasks.library_run import dub_many

PROJECT = Path(__file__).resolve().parents[2]
OF_THE_RUN = {
    "run_id",
    "seconds",
    "cpu_seconds",
    "attempts",
    "created",
    "look_seconds",
    "render_seconds",
    "finish_seconds",
}
"""Columns that say how a row came about, not what it is."""
EMOTIONS = ("", "happy", "sad", "angry", "surprised")

SCRIPT = """
import json, sys
from pathlib import Path
from tasks.config import Config
from tasks.dubbing import finishing, rendering
from tasks.jobs import Job
from tasks.library_run import dub_many
log = Path(sys.argv[3])
def noted(module, name, at):
    usual = getattr(module, name)
    def call(*given, **named):
        with log.open("a") as stream:
            stream.write(json.dumps([name, str(given[at])]) + "\\n")
        return usual(*given, **named)
    setattr(module, name, call)
noted(rendering, "save_stretch", 0)
noted(finishing, "deliver", 1)
config = Config.model_validate_json(sys.argv[1])
jobs = [Job(**job) for job in json.loads(sys.argv[4])]
rows = dub_many(jobs, sys.argv[2], config, model_id="tiny")
print(sum(row["status"] == "ok" for row in rows), flush=True)
"""


@pytest.fixture
def small(config: Config) -> Config:
    """Stretches of a window each, so that a second of film is several."""
    return config.with_({"render.stretch_windows": 1})


@pytest.fixture(scope="module")
def films(talking: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four films that differ."""
    folder = tmp_path_factory.mktemp("films")
    frames = [frame for _, _, frame in media.iter_frames(talking)]
    sound = media.read_audio(talking, 16000)
    found = []
    for number in range(4):
        marked = [frame.copy() for frame in frames]
        for frame in marked:
            frame[:16, :16] = 60 * number
        found.append(media.write_video(folder / f"{number}.mp4", marked, 25, sound))
    return found


def library(films: list[Path], track: Path, count: int) -> list[Job]:
    """Films in several moods, each into its own file."""
    return [
        Job(str(films[n % len(films)]), str(track), EMOTIONS[n // len(films)] or None, None, f"{n:02d}.mp4", True)
        for n in range(count)
    ]


def start(jobs: list[Job], model: Path, config: Config, log: Path) -> subprocess.Popen[str]:
    """The library in a process of its own, which notes what it renders and delivers."""
    told = json.dumps([job.__dict__ for job in jobs])
    words = [sys.executable, "-c", SCRIPT, config.model_dump_json(), str(model), str(log), told]
    return subprocess.Popen(
        words, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )


def noted(log: Path) -> Counter[tuple[str, str]]:
    return Counter(tuple(json.loads(line)) for line in log.read_text().splitlines()) if log.exists() else Counter()


def what_they_are(rows: list[dict[str, Any]], root: str) -> list[str]:
    """Rows without what only says how they came about, and where the root lies."""
    kept = [{name: value for name, value in row.items() if name not in OF_THE_RUN} for row in rows]
    return [json.dumps(row, default=lambda v: np.asarray(v).tolist(), sort_keys=True).replace(root, "") for row in kept]


def files(config: Config) -> dict[str, bytes]:
    folder = Root(config.root).renders
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.mp4")}


@pytest.fixture
def quiet(small: Config, films: list[Path], track: Path, tiny_model: Path) -> tuple[Config, Config]:
    """(config of this test, config of a root with the same certificate where nothing disturbs)."""
    from tasks.sealing import configured_certificate

    configured_certificate(small)
    undisturbed = small.with_({"root": small.root + "-quiet"})
    shutil.copytree(Path(small.root) / "keys", Path(undisturbed.root) / "keys")
    return small, undisturbed


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_killed_again_and_again_it_ends_as_if_nobody_had(
    quiet: tuple[Config, Config], films: list[Path], track: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """DUBWRIGHT_KILLS kills (2) over a library of 20 (5 in a short test)."""
    config, undisturbed = quiet
    kills = int(os.environ.get("DUBWRIGHT_KILLS", "2"))
    jobs = library(films, track, 20 if kills > 4 else 5)
    log, draw = tmp_path / "log", random.Random(5)
    killed = 0
    while True:
        process = start(jobs, tiny_model, config, log)
        if killed < kills:
            began, wanted = len(noted(log)), draw.randint(0, 5)
            # A moment somewhere between two things done: from the loading of the models on.
            deadline = time.monotonic() + 120
            while len(noted(log)) - began < wanted and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(draw.uniform(0, 0.4))
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                killed += 1
        out, _ = process.communicate()
        if process.returncode == 0:
            assert int(out.split()[-1]) == len(jobs)
            break
    assert killed >= min(kills, 2)
    rows = dub_many(jobs, tiny_model, config, model_id="tiny")
    expected = dub_many(jobs, tiny_model, undisturbed, model_id="tiny")
    assert what_they_are(rows, config.root) == what_they_are(expected, undisturbed.root)
    assert len({row["render_id"] for row in rows}) == len(jobs)
    assert files(config) == files(undisturbed)
    assert not list(Root(config.root).renders.rglob("*.partial"))
    assert not list((Root(config.root).cache / "dubs").iterdir())
    # What was whole on the disk was not made again: at most the one stretch or file that each kill cut off.
    again = sum(count - 1 for count in noted(log).values())
    assert again <= killed


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_runs_share_a_library_and_do_nothing_twice(
    quiet: tuple[Config, Config], films: list[Path], track: Path, tiny_model: Path, tmp_path: Path
) -> None:
    config, undisturbed = quiet
    jobs = library(films, track, 6)
    log = tmp_path / "log"
    both = [start(jobs, tiny_model, config, log) for _ in range(2)]
    assert [int(one.communicate()[0].split()[-1]) for one in both] == [len(jobs)] * 2
    done = noted(log)
    assert set(done.values()) == {1}
    assert sum(name == "deliver" for name, _ in done) == len(jobs)
    rows = dub_many(jobs, tiny_model, config, model_id="tiny")
    expected = dub_many(jobs, tiny_model, undisturbed, model_id="tiny")
    assert what_they_are(rows, config.root) == what_they_are(expected, undisturbed.root)
    assert files(config) == files(undisturbed)


def test_a_dub_goes_on_at_the_stretch_where_it_was_stopped(
    small: Config, films: list[Path], track: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.dubbing import rendering

    jobs, made, usual = library(films, track, 1), [], rendering.save_stretch

    def stopped(path: Path, *given: Any) -> None:
        if len(made) == 2:
            raise OSError("pulled the plug")
        usual(path, *given)
        made.append(path.name)

    with monkeypatch.context() as patch:
        patch.setattr(rendering, "save_stretch", stopped)
        (row,) = dub_many(jobs, tiny_model, small)
    assert (row["status"], len(made)) == ("failed", 2)
    monkeypatch.setattr(rendering, "save_stretch", lambda path, *given: (made.append(path.name), usual(path, *given)))
    (row,) = dub_many(jobs, tiny_model, small)
    assert row["status"] == "ok"
    assert len(made) == len(set(made)) > 3


def test_all_versions_of_a_film_share_a_look(
    small: Config, films: list[Path], track: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.dubbing import looking

    looked: list[str] = []
    for name in ("analyse", "who_spoke"):
        usual = getattr(looking, name)

        def noted_call(*given: Any, name: str = name, usual: Any = usual, **named: Any) -> Any:
            looked.append(name)
            return usual(*given, **named)

        monkeypatch.setattr(looking, name, noted_call)
    jobs = [
        Job(str(films[0]), str(track), emotion, None, f"{n}.mp4", True)
        for n, emotion in enumerate([None, "happy", "0: sad | 0.5: angry"])
    ]
    rows = dub_many(jobs, tiny_model, small)
    assert [row["status"] for row in rows] == ["ok"] * 3
    assert looked == ["analyse", "who_spoke"]


def test_the_more_urgent_come_first(small: Config, films: list[Path], track: Path, tiny_model: Path) -> None:
    jobs = [
        Job(str(film), str(track), output=f"{n}.mp4", confined=True, priority=n % 3)
        for n, film in enumerate(films)
    ]  # fmt: skip
    told: list[str] = []
    rows = dub_many(jobs, tiny_model, small, on_row=lambda row: told.append(Path(row["output_uri"]).name))
    assert told == ["2.mp4", "1.mp4", "0.mp4", "3.mp4"]
    assert [Path(row["output_uri"]).name for row in rows] == ["0.mp4", "1.mp4", "2.mp4", "3.mp4"]


class Deadly(DubWorker):
    """Takes its process down at one film, as a decoder that crashes does."""

    def _one(self, task: Any, work: Any, generate: Any) -> dict[str, Any]:
        if Path(task.job.video).name == "1.mp4":
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._one(task, work, generate)


@pytest.mark.slow
def test_a_film_that_kills_its_workers_costs_itself_alone(
    small: Config, films: list[Path], track: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch,
    ray_session: None,
) -> None:  # fmt: skip
    monkeypatch.setattr(pools, "DubWorker", Deadly)
    rows = dub_many(library(films, track, 4), tiny_model, small.with_({"runtime.in_process": False}))
    assert [row["status"] for row in rows] == ["ok", "failed", "ok", "ok"]
    assert (rows[1]["stage"], rows[1]["error_type"]) == ("look", "WorkerDied")
    monkeypatch.undo()
    again = dub_many(library(films, track, 4), tiny_model, small)
    assert [row["status"] for row in again] == ["ok"] * 4
    assert [row["created"] for row in again[2:]] == [row["created"] for row in rows[2:]]


def test_the_gate_keeps_back_and_other_thresholds_let_pass_what_was_kept(
    small: Config, films: list[Path], track: Path, tiny_model: Path
) -> None:
    jobs = library(films, track, 1)
    others = dict.fromkeys(("gate.min_sync", "gate.min_sync_gain", "gate.max_sync_offset", "gate.min_identity"))
    others |= dict.fromkeys(("gate.max_flicker", "gate.max_seam"))
    strict = small.with_({"gate.keep_back": True, "gate.min_outside_psnr_db": 99.0, **others})
    (row,) = dub_many(jobs, tiny_model, strict)
    renders = Root(small.root).renders
    assert (row["status"], row["stage"], row["measure"]) == ("rejected", "review", "outside PSNR")
    assert row["output_uri"] == str(renders / "review" / "00.mp4")
    assert "kept back for review" in row["reason"]
    assert not (renders / "00.mp4").exists()
    kept = (renders / "review" / "00.mp4").read_bytes()
    (same,) = dub_many(jobs, tiny_model, strict)
    assert same["created"] == row["created"]

    (passed,) = dub_many(jobs, tiny_model, strict.with_({"gate.min_outside_psnr_db": 20.0}))
    assert (passed["status"], passed["review"], passed["reason"]) == ("ok", None, None)
    assert passed["created"] == row["created"]
    assert (renders / "00.mp4").read_bytes() == kept
    assert not (renders / "review" / "00.mp4").exists()


class Leaving(pools.OwnProcess):
    """A worker whose first pieces of work come to nothing, for the loss of its node or its own."""

    blameless, losses = True, 5

    def wait(self, timeout_s: float) -> list[Answer]:
        answers = super().wait(timeout_s)
        if answers and self.losses:
            self.losses -= 1
            return [Answer(answer.works, None, self.blameless) for answer in answers]
        return answers


@pytest.mark.parametrize(("blameless", "status"), [(True, "ok"), (False, "failed")])
def test_nodes_that_go_are_no_fault_of_a_film(
    small: Config, films: list[Path], track: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch,
    blameless: bool, status: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(library_run, "OwnProcess", Leaving)
    monkeypatch.setattr(Leaving, "blameless", blameless)
    (row,) = dub_many(library(films, track, 1), tiny_model, small)
    assert row["status"] == status
