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


def moving(seed: int, count: int, start: float = 0.0) -> list[np.ndarray]:
    """A head on a still background that sways slowly; `start` says where in its sway."""
    background = scene(seed, 1)[0]
    y, x = np.mgrid[0:72, 0:128]
    frames = []
    for index in range(count):
        centre = 64 + 9 * np.sin(0.08 * index + start)
        cover = np.clip(18 - np.hypot(x - centre, (y - 36) * 0.8), 0, 1)[..., None]
        texture = 120 + 60 * np.sin((x - centre) / 3)[..., None] * np.cos(y / 4)[..., None]
        grain = np.random.default_rng([seed, index]).normal(0, 2, background.shape)
        frames.append(np.clip(background * (1 - cover) + texture * cover + grain, 0, 255).astype(np.uint8))
    return frames


def test_a_jump_within_a_view_is_found_and_told_from_a_cut() -> None:
    finder = ShotFinder(Shots(), 25)
    for index, frame in enumerate(moving(1, 30) + moving(1, 30, start=4.0) + moving(2, 30)):
        finder.push(index, frame)
    finder.finish()
    assert finder.cuts == [30, 60]
    assert finder.jumps == {30}
    shots = shots_between(finder.cuts, np.arange(90) / 25, 90 / 25, 0.3, finder.jumps)
    assert [shot.began for shot in shots] == ["start", "jump", "cut"]


def test_flashes_and_lamps_are_no_cuts() -> None:
    frames = moving(1, 60)
    for index in (15, 16):
        frames[index] = np.clip(frames[index] * 2.2 + 50, 0, 255).astype(np.uint8)
    for index in range(40, 60):
        frames[index] = np.clip(frames[index] * 1.4, 0, 255).astype(np.uint8)
    assert cuts_of(frames) == []


def test_cuts_to_black_and_back_are_cuts() -> None:
    black = [np.zeros((72, 128, 3), np.uint8)] * 15
    assert cuts_of(moving(1, 25) + black + moving(1, 25)) == [25, 40]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "cuts"),
    [
        ("face_recognition__short_hamilton_clip", [20, 82, 211]),
        ("latentsync__demo3_video", [271]),
        ("latentsync__demo1_video", []),
    ],
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
    shots = shots_between(finder.cuts, np.array(times), times[-1] + 0.04, Shots().min_shot_s, finder.jumps)
    assert [shot.first for shot in shots[1:]] == cuts
    assert {shot.first for shot in shots if shot.began == "jump"} == {271} & set(cuts)
