"""What the machinery costs against bare loops, as ratios, which mean the same on any machine. Run by `make bench`.

Each prints one line and asserts a bound loose enough for a crowded machine: a bound that breaks is a regression.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.pipeline import load_pipeline
from models.text import PACKS
from storage import media
from storage.layout import Root
from tasks import cluster
from tasks.config import Config, load_config
from tasks.experts import Experts, load_experts
from tasks.masks import dub_mask, whole_face_mask
from tests.conftest import LIBRARY

VIDEO = LIBRARY / "welcome.mp4"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return load_config(root=tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def experts(config: Config) -> Experts:
    return load_experts(config)


def timed(function: Callable[[], Any], repeat: int = 3) -> float:
    """Seconds of the best of some runs, after one that warms caches."""
    function()
    best = float("inf")
    for _ in range(repeat):
        began = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - began)
    return best


def told(name: str, ratio: float, bound: float, detail: str) -> None:
    print(f"\n{name}: {ratio:.2f} (at most {bound:g}); {detail}")  # noqa: T201 - a bench is read
    assert ratio <= bound


class _Sleeper:
    """Work of a known length, without a model to load."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        time.sleep(self._seconds)
        return {"number": row["number"]}


def test_ray_data_against_a_plain_loop(config: Config) -> None:
    cluster.start(config)
    rows, each = 200, 0.02
    list(cluster.map_rows([{"number": 0}], _Sleeper, (0.0,), config))

    def mapped() -> None:
        given = [{"number": number} for number in range(rows)]
        done = list(cluster.map_rows(given, _Sleeper, (each,), config.with_({"runtime.actors": 1})))
        assert len(done) == rows

    seconds = timed(mapped, 1)
    told("Ray Data, one actor", seconds / (rows * each), 3.0, f"{(seconds / rows - each) * 1000:.1f} ms an item on top")


def test_rewriting_against_plain_encoding(tmp_path: Path) -> None:
    info = media.probe(VIDEO)
    assert info.video is not None
    fps = info.video.fps
    frames = len(media.frame_times(VIDEO))

    def frames_of() -> Iterator[np.ndarray]:
        return (frame for _, _, frame in media.iter_frames(VIDEO))

    def plain() -> None:
        media.write_video(tmp_path / "plain.mp4", frames_of(), fps, str(VIDEO))

    def rewritten() -> None:
        media.rewrite_video(VIDEO, tmp_path / "rewritten.mp4", lambda index, pts, frame: 255 - frame, audio=str(VIDEO))

    encode, rewrite = timed(plain, 2), timed(rewritten, 2)
    detail = f"{frames / rewrite:.0f} frames/s against {frames / encode:.0f} of decode and encode"
    told("rewrite a video", rewrite / encode, 4.0, detail)


@pytest.mark.parametrize("asked", ["nothing", "an emotion", "an emotion of the whole face"])
def test_two_steps_against_twenty(asked: str) -> None:
    pipeline = load_pipeline(PACKS / "studio" / "champion")
    size, count, rng = int(pipeline.config.crop_size), 16, np.random.default_rng(0)
    crops = rng.integers(0, 255, (count, size, size, 3), dtype=np.uint8)
    tokens = rng.standard_normal((count, 10, 192)).astype(np.float32)
    mask = whole_face_mask(size) if "whole" in asked else dub_mask(size)
    wanted = {} if asked == "nothing" else {"emotion": "extremely angry", "guidance_emotion": (2.5, 1.0, 2.5, 4.0)}

    def render(steps: int) -> float:
        given = {"num_inference_steps": steps, "guidance_audio": 1.0} | wanted
        return timed(lambda: pipeline(crops, mask, crops[0], tokens, **given), 2)

    few, many = render(2), render(20)
    told(f"two steps against twenty, {asked} asked for", few / many, 0.5, f"{many / few:.1f} times as fast")


def test_an_empty_root_costs_nothing(tmp_path: Path) -> None:
    """Start-up of the command, against Python's own: what a shell loop over many small commands feels."""
    import subprocess
    import sys

    root = str(Root(tmp_path).local)
    python = timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True), 3)
    command = [sys.executable, "-m", "flows.cli", "dataset", "list", "--root", root]
    whole = timed(lambda: subprocess.run(command, check=True, capture_output=True), 3)
    told("start of the command", whole / python, 60.0, f"{whole * 1000:.0f} ms")
