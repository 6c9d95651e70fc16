"""What preprocessing costs: against its floor, with two workers, for many clips, and for an hour of film.

Ratios taken in one run. `make bench` runs all; the hour takes about twenty minutes of one core (DUBWRIGHT_BENCH_MINUTES
shortens it), a thousand clips about ten.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import ray
import torch

from models.faces import PACKS, FaceAnalyzer
from storage import media
from tasks import crops, preprocess
from tasks.config import Config, load_config
from tasks.experts import load_experts
from tasks.preprocess import SourceWorker, preprocess_many
from tasks.probe import Source, find_sources
from tests.conftest import LIBRARY

VIDEO = LIBRARY / "welcome.mp4"
MINUTES = float(os.environ.get("DUBWRIGHT_BENCH_MINUTES", "60"))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(root=tmp_path / "root", overrides={"runtime.in_process": True})


def told(line: str) -> None:
    print(f"\n{line}")  # noqa: T201 - a bench is read


def cpu_of_whole(path: Path, config: Config) -> tuple[float, dict[str, Any]]:
    """CPU seconds of all steps of one source with the experts loaded, and the tally of the steps."""
    journal = Path(config.root) / "journal.jsonl"
    worker = SourceWorker(config.model_dump(mode="json"), str(journal))
    (warm,), _ = preprocess.listed([Source(str(LIBRARY / "news.mp4"))], config)
    (item,), _ = preprocess.listed([Source(str(path))], config)
    worker(preprocess.task_of(warm))
    began = time.process_time()
    answer = worker(preprocess.task_of(item))
    return time.process_time() - began, json.loads(answer["tally"])


def test_the_whole_against_decoding_detecting_and_encoding_crops(config: Config) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    faces = load_experts(config).faces
    frames = [frame for _, _, frame in media.iter_frames(VIDEO)]
    alone = FaceAnalyzer(next((PACKS / "studio" / "faces").glob("*det*.onnx")), threads=1)
    whole, tally = cpu_of_whole(VIDEO, config)
    began = time.process_time()
    for _ in media.iter_frames(VIDEO):
        pass
    decoding = time.process_time() - began
    began = time.process_time()
    for frame in frames:
        alone.detect(frame)
    boxes = time.process_time() - began
    began = time.process_time()
    found = [faces.detect(frame, embed=False) for frame in frames]
    detecting = time.process_time() - began
    began = time.process_time()
    for frame, there in zip(frames, found, strict=True):
        crop = crops.warp(frame, crops.crop_matrix(there[0].kps), 128)
        cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95])
    encoding = time.process_time() - began
    count = len(frames)
    for name, counts in tally.items():
        told(f"  {name}: {counts['cpu_seconds'] / count * 1e3:.2f} ms of CPU a frame")
    floor, bare = decoding + detecting + encoding, decoding + boxes + encoding
    told(
        f"preprocess: {count / whole:.0f} frames/s of one core; {whole / floor:.2f} times decoding + finding faces and "
        f"their points + encoding crops ({floor / count * 1e3:.1f} ms a frame); {whole / bare:.2f} times the same "
        f"without the points, by the shipped, small detector alone ({bare / count * 1e3:.1f} ms)"
    )
    assert whole / floor <= 1.5


def pieces(folder: Path, count: int, frames: int = 50) -> list[Source]:
    """Short films of one speaking face that differ in a corner."""
    there = [frame for _, _, frame in media.iter_frames(VIDEO)][:frames]
    sound = media.read_audio(VIDEO, 16000)[: frames * 640]
    folder.mkdir()
    for number in range(count):
        marked = [frame.copy() for frame in there]
        for frame in marked:
            frame[:8, :8] = (number % 16 * 16, number // 16 % 16 * 16, number // 256 * 60)
        media.write_video(folder / f"{number:04d}.mp4", marked, 25, sound)
    return find_sources([folder])


def rate(sources: list[Source], config: Config, workers: int, root: Path) -> float:
    """Sources a second once all workers are at work: from the fourth that ended to the last."""
    ends: list[float] = []
    used = config.with_({"runtime.in_process": False, "runtime.actors": workers, "root": str(root)})
    preprocess_many(sources, "set", used, on_row=lambda kind, row: ends.append(time.perf_counter()))
    return (len(ends) - 4) / (ends[-1] - ends[3])


def test_two_workers_against_one(config: Config, tmp_path: Path) -> None:
    sources = pieces(tmp_path / "pieces", 40)
    try:
        one = rate(sources, config, 1, tmp_path / "one")
        two = rate(sources, config, 2, tmp_path / "two")
    finally:
        ray.shutdown()
    told(f"two workers do {two:.2f} films/s, one {one:.2f}: {two / one:.2f} times as many (at least 1.7)")
    assert two / one >= 1.7


def test_a_thousand_clips_against_fifty(config: Config, tmp_path: Path) -> None:
    """Fifty before and after the thousand: a machine's speed drifts by more than is asked for."""
    sources = pieces(tmp_path / "pieces", 1000, frames=16)
    config = config.with_({"preprocess.min_clip_s": 0.4, "preprocess.drop_duplicates": False})
    preprocess_many(sources[:1], "warm", config)

    def cost(name: str, some: list[Source]) -> float:
        began = time.process_time()
        built = preprocess_many(some, name, config.with_({"root": str(tmp_path / name)}))
        assert sum(clip["status"] == "ok" for clip in built.clips) == len(some)
        return (time.process_time() - began) / len(some)

    before = cost("before", sources[:50])
    thousand = cost("thousand", sources)
    after = cost("after", sources[-50:])
    ratio = thousand / ((before + after) / 2)
    told(
        f"a clip of 1,000 costs {thousand * 1e3:.0f} ms of CPU, one of 50 {before * 1e3:.0f} before and "
        f"{after * 1e3:.0f} after: {ratio:.3f} times (at most 1.05)"
    )
    assert ratio <= 1.05


_PEAK = """
import json, sys
from pathlib import Path
from tests.memory import peak_mb
from tasks.config import load_config
from tasks.preprocess import preprocess_many
from tasks.probe import Source
config = load_config(root=sys.argv[1], overrides={"runtime.in_process": True, "faces.det_size": 192})
built = preprocess_many([Source(sys.argv[2])], "set", config)
kept = sum(clip["status"] == "ok" for clip in built.clips)
print(json.dumps({"clips": kept, "mb": peak_mb()}))
"""


def looped(path: Path, minutes: float) -> Path:
    """The episode over and over, for so many minutes."""
    there = [frame for _, _, frame in media.iter_frames(VIDEO)]
    sound = media.read_audio(VIDEO, 16000)
    total = round(minutes * 60 * 25)

    def frames() -> Iterator[np.ndarray]:
        for number in range(total):
            yield there[number % len(there)]

    times = -(-total // len(there))
    return media.write_video(path, frames(), Fraction(25), np.tile(sound[: len(there) * 640], times)[: total * 640])


@pytest.mark.timeout(0)
def test_an_hour_of_film_against_two_minutes(tmp_path: Path) -> None:
    peaks = {}
    for minutes in (2.0, MINUTES):
        film = looped(tmp_path / f"{minutes:g}.mp4", minutes)
        command = [sys.executable, "-c", _PEAK, str(tmp_path / f"root{minutes:g}"), str(film)]
        said = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        peaks[minutes] = json.loads(said.splitlines()[-1])
    ratio = peaks[MINUTES]["mb"] / peaks[2.0]["mb"]
    told(
        f"{MINUTES:g} minutes of film peak at {peaks[MINUTES]['mb']:.0f} MB ({peaks[MINUTES]['clips']} clips), two at "
        f"{peaks[2.0]['mb']:.0f}: {ratio:.2f} (at most 1.2)"
    )
    assert ratio <= 1.2
