"""A library: a row per job, finished outputs left alone, a bad item alone, and a kill that loses nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from storage.errors import UsageError
from storage.ids import file_sha256
from storage.layout import Root
from tasks.config import Config
from tasks.jobs import Job, read_manifest
from tasks.library_run import animate_many, dub_many

PROJECT = Path(__file__).resolve().parents[2]


def renders(config: Config) -> Path:
    return Root(config.root).renders


@pytest.fixture
def jobs(talking: Path, track: Path, tmp_path: Path) -> list[Job]:
    (tmp_path / "text.mp4").write_text("no film " * 100)
    return [
        Job(str(talking), str(track), "happy", None, "a/first.mp4", True),
        Job(str(tmp_path / "text.mp4"), str(track), None, None, "second.mp4", True),
        Job(str(tmp_path / "gone.mp4"), str(track), None, None, "third.mp4", True),
        Job(str(talking), str(track), None, None, "../outside.mp4", True),
        Job(str(talking), str(track), "sad", None, "a/first.mp4", True),
        Job(str(talking), str(track), "happy", None, "a/copy.mp4", True),
    ]


def test_a_bad_item_costs_itself_alone_and_finished_ones_are_not_touched_again(
    jobs: list[Job], tiny_model: Path, config: Config
) -> None:
    told: list[dict[str, Any]] = []
    rows = dub_many(jobs, tiny_model, config, run_id="r1", on_row=told.append)
    assert [row["status"] for row in rows] == ["ok", "failed", "failed", "rejected", "rejected", "rejected"]
    assert len(told) == len({row["render_id"] for row in rows}) == 6
    assert "outside" in rows[3]["reason"]
    assert "two rows" in rows[4]["reason"]
    assert rows[5]["measure"] == "same_job"
    out = renders(config) / "a" / "first.mp4"
    assert rows[0]["output_uri"] == str(out)
    made = (out.stat().st_mtime_ns, file_sha256(out))

    again = dub_many(jobs, tiny_model, config, run_id="r2")
    assert [row["status"] for row in again] == [row["status"] for row in rows]
    assert again[0]["render_id"] == rows[0]["render_id"]
    assert again[0]["created"] == rows[0]["created"]
    assert (out.stat().st_mtime_ns, file_sha256(out)) == made
    assert not (renders(config).parent / "outside.mp4").exists()


def test_an_output_that_was_lost_or_changed_is_made_again(
    talking: Path, track: Path, tiny_model: Path, config: Config
) -> None:
    job = [Job(str(talking), str(track))]
    frames: list[tuple[str, int, int]] = []
    (first,) = dub_many(job, tiny_model, config, on_frames=lambda *seen: frames.append(seen))
    assert next(what for what, _, _ in frames) == "finding faces"
    assert frames[-1] == ("writing", first["frames"], first["frames"])
    out = Path(first["output_uri"])
    assert out.parent == renders(config)
    assert out.name == f"talking.{first['render_id'][:8]}.mp4"
    out.write_bytes(b"spoilt")
    (second,) = dub_many(job, tiny_model, config)
    assert second["render_id"] == first["render_id"]
    assert out.stat().st_size > 1000
    assert second["attempts"] == 2
    out.unlink()
    assert dub_many(job, tiny_model, config)[0]["status"] == "ok"
    assert out.is_file()


def test_a_single_output_may_lie_anywhere_but_not_on_an_input(
    talking: Path, track: Path, tiny_model: Path, config: Config, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="input itself"):
        dub_many([Job(str(talking), str(track), output=str(talking))], tiny_model, config)
    with pytest.raises(UsageError, match="format"):
        dub_many([Job(str(talking), str(track), output=str(tmp_path / "x.gif"))], tiny_model, config)


def test_portraits_too(library: Path, track: Path, tiny_model: Path, config: Config, tmp_path: Path) -> None:
    portrait = library / "portrait.png"
    job = [Job(str(portrait), str(track), None, None, str(tmp_path / "p.mp4"))]
    frames: list[tuple[str, int, int]] = []
    (row,) = animate_many(job, tiny_model, config, on_frames=lambda *seen: frames.append(seen))
    assert frames[-1][::2] == ("rendering", row["frames"])
    assert (row["status"], row["stage"]) == ("ok", "animate")
    assert animate_many(job, tiny_model, config)[0]["created"] == row["created"]


def test_a_manifest_becomes_jobs(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("video,audio,emotion,speakers,output\na.mp4,b.wav,auto,who.rttm,x/a.mp4\n/v/c.mp4,d.wav,,,\n")
    first, second = read_manifest(path)
    assert first == Job(
        str(tmp_path / "a.mp4"), str(tmp_path / "b.wav"), "auto", str(tmp_path / "who.rttm"), "x/a.mp4", True
    )
    assert (second.video, second.emotion, second.output) == ("/v/c.mp4", None, None)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("video,emotion\na.mp4,happy\n", "audio"),
        ("video,audio,mood\na.mp4,b.wav,happy\n", "mood"),
        ("video,audio\na.mp4,b.wav\n,c.wav\n", "row 2"),
        ("", "no rows"),
    ],
)
def test_mistakes_in_a_manifest_are_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(UsageError, match=named):
        read_manifest(tmp_path / "m.csv")


@pytest.mark.slow
def test_by_ray_actors_it_comes_out_the_same(
    jobs: list[Job], tiny_model: Path, config: Config, ray_session: None
) -> None:
    here = dub_many(jobs, tiny_model, config)
    elsewhere = config.with_({"root": config.root + "2", "runtime.in_process": False})
    there = dub_many(jobs, tiny_model, elsewhere)
    assert [row["status"] for row in there] == [row["status"] for row in here]
    assert there[0]["render_id"] == here[0]["render_id"]
    assert (renders(elsewhere) / "a" / "first.mp4").is_file()


@pytest.mark.slow
def test_after_kill_9_the_same_command_goes_on(
    talking: Path, track: Path, tiny_model: Path, config: Config, tmp_path: Path
) -> None:
    code = """
import sys
from tasks.config import Config
from tasks.jobs import Job
from tasks.library_run import dub_many
config = Config.model_validate_json(sys.argv[1])
jobs = [Job(sys.argv[2], sys.argv[3], emotion, None, f"{emotion}.mp4", True) for emotion in ("happy", "sad", "angry")]
dub_many(jobs, sys.argv[4], config, on_row=lambda row: print(row["emotion"], flush=True))
"""
    words = [sys.executable, "-c", code, config.model_dump_json(), str(talking), str(track), str(tiny_model)]
    process = subprocess.Popen(
        words, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )
    assert process.stdout is not None
    first = process.stdout.readline().strip()
    deadline = time.monotonic() + 60
    parts = Root(config.root).cache / "dubs"
    while not any(path.is_file() for path in parts.rglob("*")) and time.monotonic() < deadline:
        time.sleep(0.02)  # the second file is under way
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    whole = sorted(path.name for path in renders(config).glob("*.mp4"))
    assert f"{first}.mp4" in whole
    made = (renders(config) / f"{first}.mp4").stat().st_mtime_ns

    emotions = ("happy", "sad", "angry")
    jobs = [Job(str(talking), str(track), emotion, None, f"{emotion}.mp4", True) for emotion in emotions]
    rows = dub_many(jobs, tiny_model, config)
    assert [row["status"] for row in rows] == ["ok"] * 3
    assert len({row["render_id"] for row in rows}) == 3
    assert (renders(config) / f"{first}.mp4").stat().st_mtime_ns == made
    assert sorted(path.name for path in renders(config).iterdir() if path.suffix == ".mp4") == sorted(
        f"{emotion}.mp4" for emotion in emotions
    )
    assert not list(renders(config).glob(".*.partial"))
