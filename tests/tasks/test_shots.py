"""Shots: cuts are found where they are, also at odd frame rates, and a steady picture has none."""

from pathlib import Path

import numpy as np
import pytest

from storage import media
from tasks.config_sections import Shots
from tasks.shots import ShotFinder, shots_between


def scene(seed: int, count: int) -> list[np.ndarray]:
    """A still life with a little grain and a slow pan."""
    rng = np.random.default_rng(seed)
    base = np.kron(rng.integers(30, 226, (9, 16, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    grain = (rng.normal(0, 3, base.shape) for _ in range(count))
    return [np.clip(np.roll(base, i, axis=1) + g, 0, 255).astype(np.uint8) for i, g in enumerate(grain)]


def cuts_of(frames: list[np.ndarray], fps: float = 25.0, first: int = 0) -> list[int]:
    finder = ShotFinder(Shots(), fps)
    told = [cut for i, frame in enumerate(frames, first) for cut in finder.push(i, frame)] + finder.finish()
    assert told == finder.cuts
    return finder.cuts


@pytest.mark.parametrize("fps", [23.976, 25.0, 29.97, 60.0])
def test_cuts_are_found_where_they_are(fps: float) -> None:
    assert cuts_of(scene(1, 30) + scene(2, 25) + scene(3, 30), fps) == [30, 55]


def test_a_steady_picture_has_no_cut() -> None:
    assert cuts_of(scene(1, 60)) == []


def test_indices_are_those_given() -> None:
    assert cuts_of(scene(1, 20) + scene(2, 20), first=100) == [120]


def test_no_frames_no_cuts() -> None:
    assert ShotFinder(Shots(), 25).finish() == []
    assert shots_between([], np.zeros(0), 0.0) == []


def test_shots_cover_every_frame_once() -> None:
    pts = 0.852 + np.arange(40) / 29.97
    shots = shots_between([10, 25, 25], pts, float(pts[-1]) + 1 / 29.97)
    assert [(shot.first, shot.last) for shot in shots] == [(0, 10), (10, 25), (25, 40)]
    assert shots[0].start_s == pytest.approx(0.852)
    assert shots[1].start_s == shots[0].end_s == pts[10]
    assert sum(len(shot) for shot in shots) == 40


def test_a_remainder_at_the_end_is_no_shot() -> None:
    pts = np.arange(40) / 25
    assert len(shots_between([37], pts, 40 / 25, min_shot_s=0.3)) == 1
    assert len(shots_between([30], pts, 40 / 25, min_shot_s=0.3)) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "cuts"),
    [("face_recognition__short_hamilton_clip", [20, 82, 211]), ("latentsync__demo3_video", [271])],
)
def test_cuts_of_real_footage(shared_dir: Path, name: str, cuts: list[int]) -> None:
    video = shared_dir / "media" / "video" / f"{name}.mp4"
    info = media.probe(video).video
    assert info is not None
    finder = ShotFinder(Shots(), info.fps)
    times = []
    # The jump cut at 271 is within the first half; reading on would only take time.
    for index, pts_s, frame in media.iter_frames(video, end_s=info.start_s + 11.0):
        finder.push(index, frame)
        times.append(pts_s)
    finder.finish()
    shots = shots_between(finder.cuts, np.array(times), times[-1] + 0.04, Shots().min_shot_s)
    assert [shot.first for shot in shots[1:]] == cuts
