"""Windows: every frame comes out once, in order, and neighbouring windows fade into each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.windows import WindowRenderer


def crop(value: int) -> np.ndarray:
    return np.full((4, 4, 3), value, np.uint8)


def unchanged(crops: np.ndarray, times: np.ndarray) -> np.ndarray:
    assert len(crops) == len(times)
    return crops


@given(count=st.integers(0, 60), window=st.integers(1, 16), overlap=st.integers(0, 15))
def test_every_frame_comes_out_once_in_order(count: int, window: int, overlap: int) -> None:
    renderer = WindowRenderer(unchanged, window, min(overlap, window - 1))
    out = [pair for index in range(count) for pair in renderer.push(index, crop(index), index / 25)] + renderer.finish()
    assert [index for index, _ in out] == list(range(count))
    assert all(made[0, 0, 0] == index for index, made in out)
    assert renderer.finish() == []


@given(window=st.integers(2, 16), overlap=st.integers(0, 15))
def test_no_call_sees_more_than_a_window_and_no_more_is_held(window: int, overlap: int) -> None:
    seen: list[int] = []

    def count(crops: np.ndarray, times: np.ndarray) -> np.ndarray:
        seen.append(len(crops))
        return crops

    renderer = WindowRenderer(count, window, min(overlap, window - 1))
    for index in range(50):
        renderer.push(index, crop(0), 0.0)
        assert len(renderer.waiting) < window
    renderer.finish()
    assert max(seen) <= window


def test_a_step_between_windows_is_spread_over_the_overlap() -> None:
    calls = 0

    def darker_each_time(crops: np.ndarray, times: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        return np.full_like(crops, 100 * (calls - 1))

    renderer = WindowRenderer(darker_each_time, 8, 4)
    out = [pair for index in range(12) for pair in renderer.push(index, crop(0), 0.0)] + renderer.finish()
    values = [int(made[0, 0, 0]) for _, made in out]
    assert values[:4] == [0] * 4
    assert values[4:8] == [20, 40, 60, 80]
    assert values[8:] == [100] * 4


def test_overlap_must_be_shorter_than_the_window() -> None:
    with pytest.raises(ValueError, match="overlap"):
        WindowRenderer(unchanged, 4, 4)
