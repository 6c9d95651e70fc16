"""Where a segment is cut, and what is kept of a stretch: every frame once, neighbours joined, nothing lost on disk."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.config_sections import Render
from tasks.dubbing.rendering import runs_of
from tasks.dubbing.saved import load_analysis, save_analysis
from tasks.dubbing.stretches import blended, box_of, load_stretch, overlap_of, save_stretch, stretches_of
from tasks.plan import Segment
from tests.tasks.test_plan import analysis
from tests.tasks.test_speakers import burst, tracks_with_motion

(TRACK,) = tracks_with_motion(burst(0, 4))


def segment(first: int, frames: int) -> Segment:
    return Segment(TRACK, first, first + frames, np.ones(frames, np.float32), [first])


@given(st.integers(1, 700), st.integers(1, 20), st.integers(0, 20), st.integers(1, 9), st.integers(0, 50))
@settings(max_examples=150, deadline=None)
def test_stretches_cover_a_segment_and_share_what_is_blended(
    frames: int, window: int, overlap: int, windows: int, first: int
) -> None:
    render = Render(window_frames=window, overlap_frames=overlap, stretch_windows=windows)
    found = stretches_of([segment(first, frames)], render)
    shared = overlap_of(render)
    assert (found[0].first, found[-1].last) == (first, first + frames)
    assert all(one.last - other.first == shared for one, other in pairwise(found))
    longest = window + (windows - 1) * (window - shared)
    assert all(0 < len(one) <= max(longest, shared + 1) for one in found)
    assert found == stretches_of([segment(first, frames)], render)
    lengths = [len(one) for one in found]
    assert max(lengths) - min(lengths) <= 1
    assert len({one.name for one in found}) == len(found)


def test_runs_are_neighbours_of_one_segment() -> None:
    render = Render(window_frames=8, overlap_frames=2, stretch_windows=1)
    found = stretches_of([segment(0, 50), segment(60, 20)], render)
    runs = runs_of([one for one in found if one.first != 12], 3)
    assert [len(run) for run in runs] == [2, 3, 2, 3]
    assert all(len({one.segment for one in run}) == 1 for run in runs)
    assert all(one.last > other.first for run in runs for one, other in pairwise(run))


def test_a_stretch_comes_back_to_the_bit_inside_its_box(tmp_path: Path) -> None:
    made = np.random.default_rng(0).integers(0, 255, (5, 32, 32, 3), dtype=np.uint8)
    alpha = np.zeros((32, 32), np.float32)
    alpha[10:30, 4:28] = 0.5
    box = box_of(alpha)
    save_stretch(tmp_path / "s.png", made, box, 3)
    back, windows = load_stretch(tmp_path / "s.png", 5, 32, box)
    assert windows == 3
    assert np.array_equal(back[:, 10:30, 4:28], made[:, 10:30, 4:28])
    assert not back[:, :10].any()
    (tmp_path / "s.png").write_bytes(b"\x03\0\0\0torn")
    with pytest.raises(ValueError, match="is no stretch"):
        load_stretch(tmp_path / "s.png", 5, 32, box)


def test_shared_frames_go_from_one_to_the_other() -> None:
    dark, bright = np.zeros((3, 2, 2, 3), np.uint8), np.full((3, 2, 2, 3), 200, np.uint8)
    assert blended(dark, bright)[:, 0, 0, 0].tolist() == [50, 100, 150]


def test_a_look_comes_back_as_it_was(tmp_path: Path) -> None:
    seen = analysis(tracks_with_motion(burst(0, 30), burst(5, 40)))
    save_analysis(tmp_path / "look.npz", seen)
    back = load_analysis(tmp_path / "look.npz")
    assert np.array_equal(back.pts, seen.pts)
    for one, other in zip(seen.tracks, back.tracks, strict=True):
        assert (one.number, one.first, one.last, one.smooth_s) == (
            other.number,
            other.first,
            other.last,
            other.smooth_s,
        )
        assert np.array_equal(one.points[:], other.points[:])
        assert np.array_equal(one.outline, other.outline)
        assert np.array_equal(one.matrices, other.matrices)
