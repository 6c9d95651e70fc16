"""The jobs as a user runs them, on the shipped library: preprocess, dub, catalog; bad inputs; a kill in the middle."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage import media
from storage.catalog import Catalog
from storage.ids import file_sha256
from storage.layout import Root
from storage.provenance import read_stamp
from tests.conftest import PROJECT, Command
from tests.flows.test_cli import the_object

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_url")]

QUICK = ("--set", "render.steps=2", "--set", "render.guidance_audio=1.0")


def cut(source: Path, out: Path, start_s: float, seconds: float, sound: bool = True) -> Path:
    """A piece of a video as a file of its own."""
    info = media.probe(source)
    assert info.video is not None
    frames = (frame for _, _, frame in media.iter_frames(source, start_s, start_s + seconds))
    audio = media.read_audio(source, 16000, start_s, start_s + seconds) if sound else None
    media.write_video(out, frames, info.video.fps, audio, 16000)
    return out


def silent_picture(out: Path) -> Path:
    """A video with sound and without any face."""
    frames = np.zeros((30, 96, 128, 3), np.uint8)
    frames[:, :, :64] = (30, 120, 60)
    media.write_video(out, iter(frames), 25, (np.sin(np.arange(19200) / 15) * 0.1).astype(np.float32), 16000)
    return out


@pytest.fixture
def folder(tmp_path: Path, episode: Path) -> Path:
    """A good video among all that people leave in folders."""
    place = tmp_path / "footage"
    place.mkdir()
    cut(episode, place / "good.mp4", 1.0, 1.6)
    (place / "empty.mp4").write_bytes(b"")
    (place / "text.mp4").write_text("this is not a video\n" * 50)
    (place / "truncated.mp4").write_bytes((place / "good.mp4").read_bytes()[:9000])
    cut(episode, place / "mute.mp4", 2.0, 1.2, sound=False)
    silent_picture(place / "faceless.mp4")
    media.write_audio(place / "sound.wav", np.zeros(16000, np.float32), 16000)
    return place


def by_name(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {Path(entry["input"]).name: entry for entry in result["items"]}


def test_preprocessing_a_mixed_folder_gives_every_input_a_row(dubwright: Command, folder: Path, root: Root) -> None:
    before = {path: file_sha256(path) for path in folder.iterdir()}
    told = dubwright("preprocess", folder, "--dataset", "mixed", "--json")
    assert told.returncode == 1, told.stderr
    result = the_object(told.stdout)
    items = by_name(result)
    assert set(items) == {path.name for path in folder.iterdir()}
    assert items["good.mp4"]["status"] == "ok"
    assert items["good.mp4"]["metrics"]["clips_ok"] >= 1
    for name in items.keys() - {"good.mp4"}:
        assert items[name]["status"] in ("rejected", "failed"), name
        assert items[name]["reason"], name
    assert {path: file_sha256(path) for path in folder.iterdir()} == before
    assert Path(str(result["report"])).is_file()
    assert Catalog(root).count("sources") == len(items)
    assert Catalog(root).count("clips", "status = 'ok'") >= 1

    did = {entry["step"]: entry for entry in result["steps"]}
    assert did["tracks"]["done"] >= 1 and did["caption"]["done"] >= 1
    assert Catalog(root).count("steps", "step = 'caption' AND status = 'ok'") == did["caption"]["done"]
    assert (Path(str(result["report"])).parent / "dataset" / "index.html").is_file()

    plan = the_object(dubwright("preprocess", folder, "--dataset", "mixed", "--plan", "--json").stdout)["plan"]
    assert plan["films"] == len(items) and plan["known"] >= 1 and plan["steps"]
    again = dubwright("preprocess", folder, "--dataset", "mixed", "--retry", "failed", "--json")
    assert the_object(again.stdout)["dataset"] == result["dataset"], "the same footage gave another version"
    assert not any(entry["done"] for entry in the_object(again.stdout)["steps"] if entry["step"] != "tracks")
    listed = the_object(dubwright("dataset", "list", "mixed", "--json").stdout)
    assert [entry["id"] for entry in listed["items"]] == [result["dataset"]]


def manifest(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as sink:
        writer = csv.DictWriter(sink, ["video", "audio", "emotion", "speakers", "output"])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_dubbing_a_library_with_bad_rows_does_the_rest(
    dubwright: Command, folder: Path, dub_track: Path, root: Root
) -> None:
    names = ["good.mp4", "empty.mp4", "text.mp4", "truncated.mp4", "faceless.mp4", "sound.wav"]
    rows = [{"video": str(folder / name), "audio": str(dub_track), "output": f"{name}.dub.mp4"} for name in names]
    rows.append({"video": str(folder / "good.mp4"), "audio": str(folder / "mute.mp4"), "output": "mute.dub.mp4"})
    told = dubwright("dub", "--manifest", manifest(folder / "library.csv", rows), "--json", *QUICK)
    assert told.returncode == 1, told.stderr
    result = the_object(told.stdout)
    assert [entry["status"] == "ok" for entry in result["items"]] == [True, *[False] * 6], result["items"]
    assert all(entry["reason"] for entry in result["items"][1:])
    good = result["items"][0]
    check_dub(folder / "good.mp4", Path(good["output"]))
    assert good["metrics"]["outside_psnr_db"] >= 40
    assert sorted(path.name for path in root.renders.glob("*.mp4")) == ["good.mp4.dub.mp4"]
    stamp = read_stamp(good["output"])
    assert stamp is not None
    assert stamp["synthetic"] is True
    assert stamp["render_id"] == good["id"]

    shown = dubwright("catalog", "show", good["output"], "--json")
    assert the_object(shown.stdout)["lineage"]["render"] == good["id"]


def check_dub(source: Path, output: Path) -> None:
    """Same frames at the same times, same size, and sound."""
    before, after = media.probe(source), media.probe(output, need_audio=True)
    assert before.video is not None
    assert after.video is not None
    assert (after.video.width, after.video.height) == (before.video.width, before.video.height)
    assert np.allclose(media.frame_times(source), media.frame_times(output), atol=1e-3)


@pytest.fixture
def running() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def test_a_killed_dub_goes_on_where_it_stopped(
    episode: Path, dub_track: Path, root: Root, tmp_path: Path, running: list[subprocess.Popen[bytes]]
) -> None:
    videos = [cut(episode, tmp_path / f"{number}.mp4", 0.8 * number, 1.2) for number in range(4)]
    rows = [{"video": str(video), "audio": str(dub_track), "output": video.name} for video in videos]
    library = manifest(tmp_path / "library.csv", rows)
    words = [sys.executable, "-m", "flows.cli", "dub", "--manifest", str(library), "--root", str(root.local), "--json",
             "--set", "runtime.actors=1", *QUICK]  # fmt: skip

    first = subprocess.Popen(words, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    running.append(first)
    finished = wait_for_output(first, root)
    first.send_signal(signal.SIGKILL)
    first.wait()
    untouched = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in finished}

    again = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, timeout=280)
    assert again.returncode == 0, again.stderr
    result = json.loads(again.stdout)
    assert result["counts"] == {"ok": 4, "rejected": 0, "failed": 0}
    for path, facts in untouched.items():
        assert (path.stat().st_mtime_ns, path.stat().st_ino) == facts, f"{path.name} was made again"
    for video in videos:
        check_dub(video, root.renders / video.name)
    assert len(Catalog(root).rows("renders")) == 4
    assert len({entry["id"] for entry in result["items"]}) == 4
    assert [path.name for path in root.renders.iterdir() if path.name.endswith(".partial")] == []


def wait_for_output(process: subprocess.Popen[bytes], root: Root) -> list[Path]:
    deadline = time.monotonic() + 240
    # With the second one there, the first is surely written down as done.
    while len(found := sorted(root.renders.glob("*.mp4"), key=lambda path: path.stat().st_mtime_ns)) < 2:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline, "nothing was rendered"
        time.sleep(0.02)
    assert len(found) < 4, "it was done before it could be killed"
    return found[:-1]


def test_one_video_goes_where_it_is_told_and_a_second_run_leaves_it(
    dubwright: Command, episode: Path, dub_track: Path, tmp_path: Path
) -> None:
    video = cut(episode, tmp_path / "in.mp4", 0.5, 1.2)
    out = tmp_path / "out" / "dubbed.mp4"
    call = ("dub", video, "--audio", dub_track, "--emotion", "happy", "-o", out, *QUICK)
    told = dubwright(*call)
    assert told.returncode == 0, told.stderr
    assert "1 ok, 0 rejected, 0 failed" in told.stdout
    assert "report: " in told.stdout
    check_dub(video, out)
    made = os.stat(out)
    assert dubwright(*call).returncode == 0
    assert (os.stat(out).st_mtime_ns, os.stat(out).st_ino) == (made.st_mtime_ns, made.st_ino)


def test_a_portrait_speaks(dubwright: Command, library: Path, tmp_path: Path) -> None:
    sound = media.read_audio(library / "portrait.wav", 16000)[:16000]
    media.write_audio(tmp_path / "second.wav", sound, 16000)
    told = dubwright("animate", library / "portrait.png", "--audio", tmp_path / "second.wav", "--json", *QUICK)
    assert told.returncode == 0, told.stderr
    (item,) = the_object(told.stdout)["items"]
    info = media.probe(item["output"], need_audio=True)
    assert abs(info.duration_s - 1.0) < 0.06


def test_real_footage_goes_through_whole(dubwright: Command, shared_dir: Path, tmp_path: Path) -> None:
    video = shared_dir / "media" / "video" / "face_recognition__short_hamilton_clip.mp4"
    out = tmp_path / "hamilton.mp4"
    told = dubwright(
        "dub", video, "--audio", shared_dir / "media" / "audio" / "latentsync__demo1_audio.wav", "-o", out, "--json",
        "--face-pack", shared_dir / "weights" / "scrfd_2.5g_bnkps.onnx", "--set", "render.steps=1",
        "--set", "render.guidance_audio=1.0",
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    check_dub(video, out)


def test_a_night_without_footage_makes_its_folder_and_nothing_else(dubwright: Command, root: Root) -> None:
    told = dubwright("nightly", "--json")
    assert told.returncode == 0, told.stderr
    result = the_object(told.stdout)
    assert (result["items"], result["dataset"], result["promoted"]) == ([], None, False)
    assert "no footage" in result["table"]
    assert (root.local / "incoming").is_dir()
    assert not (root.local / "datasets" / "nightly").exists()
