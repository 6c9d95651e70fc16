"""Frames between rendered ones: every frame comes out once and in order, and only where motion allows."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.interpolator import CUE, FrameInterpolator
from models.speech import encode_speech, load_speech_encoder
from tasks.config_sections import Render
from tasks.interpolation import Between, Hear, InterpolatingRenderer, articulators

SIZE = 16
MASK = np.zeros((SIZE, SIZE), np.float32)
MASK[8:] = 1
NET = FrameInterpolator(channels=(8, 8), layers=1, scales=(2, 1), crop_size=SIZE).eval()
"""Untrained: it gives the mean of its neighbours."""


def crop(value: float) -> np.ndarray:
    return np.full((SIZE, SIZE, 3), value, np.uint8)


def nothing_heard(times: np.ndarray) -> np.ndarray | None:
    return None


class Rendering:
    """Paints the frame's number (at 25 a second) into the mask, and remembers the times that it was given."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, crops: np.ndarray, times: np.ndarray) -> np.ndarray:
        self.times += times.tolist()
        made = crops.copy()
        made[:, MASK > 0] = np.rint(times * 25)[:, None, None]
        return made


def play(
    crops: list[np.ndarray], times: list[float], window: int = 8, overlap: int = 2, hear: Hear = nothing_heard
) -> tuple[list[int], list[np.ndarray], set[int]]:
    """Indices and pictures as they came out, and the indices of the frames that were rendered."""
    rendering = Rendering()
    renderer = InterpolatingRenderer(rendering, window, overlap, Between(NET, MASK, hear, Render()))
    out: list[tuple[int, np.ndarray]] = []
    for index, (picture, time_s) in enumerate(zip(crops, times, strict=True)):
        out += renderer.push(index, picture, time_s)
        assert renderer.waiting == list(range(len(out), index + 1))
        assert len(renderer.waiting) <= 2 * window
    out += renderer.finish()
    assert renderer.waiting == [] and renderer.finish() == []
    rendered = {times.index(time_s) for time_s in rendering.times}
    assert renderer.filled == len(crops) - len(rendered)
    return [index for index, _ in out], [made for _, made in out], rendered


@settings(deadline=None, max_examples=20)
@given(count=st.integers(0, 60), window=st.integers(1, 12), overlap=st.integers(0, 11))
def test_every_frame_comes_out_once_and_every_second_one_is_filled_in(count: int, window: int, overlap: int) -> None:
    indices, made, rendered = play([crop(0)] * count, [i / 25 for i in range(count)], window, min(overlap, window - 1))
    assert indices == list(range(count))
    assert rendered == {*range(0, count, 2), *([count - 1] if count else [])}
    assert all(abs(int(picture[-1, 0, 0]) - index) <= 1 for index, picture in zip(indices, made, strict=True))


def test_outside_the_mask_every_frame_is_its_own() -> None:
    crops = [crop(100 + i) for i in range(9)]
    _, made, rendered = play(crops, [i / 25 for i in range(9)])
    assert len(rendered) == 5
    assert all(np.array_equal(a[MASK == 0], b[MASK == 0]) for a, b in zip(made, crops, strict=True))


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 100))
def test_a_restless_picture_is_rendered_where_it_is_restless(seed: int) -> None:
    levels = np.random.default_rng(seed).integers(0, 255, 40)
    levels[:12] = 80
    indices, _, rendered = play([crop(level) for level in levels], [i / 25 for i in range(40)])
    assert indices == list(range(40)) and {0, 39} <= rendered
    assert {1, 3, 5, 7, 9}.isdisjoint(rendered)
    for middle in set(range(1, 39)) - rendered:
        assert {middle - 1, middle + 1} <= rendered  # never two in a row
        assert abs(levels[middle] - (levels[middle - 1] + levels[middle + 1]) / 2) <= Render().interpolate_max_change


def test_nothing_is_filled_in_across_a_gap_in_time_or_at_a_low_rate() -> None:
    _, _, rendered = play([crop(0)] * 6, [0.0, 0.04, 0.08, 0.5, 0.54, 0.58])
    assert rendered == {0, 2, 3, 5}
    assert play([crop(0)] * 8, [i / 12 for i in range(8)])[2] == set(range(8))


def test_a_sound_that_jumps_is_rendered() -> None:
    def hear(times: np.ndarray) -> np.ndarray:
        return np.broadcast_to((np.abs(times - 0.2) < 0.01)[:, None, None], (len(times), *CUE[1:])).astype(np.float32)

    assert 5 in play([crop(0)] * 11, [i / 25 for i in range(11)], hear=hear)[2]
    assert 5 not in play([crop(0)] * 11, [i / 25 for i in range(11)])[2]


def test_articulators_are_those_of_the_encoder_at_each_time() -> None:
    encoder = load_speech_encoder("studio")
    features = encode_speech(encoder, np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32))
    heard = articulators(encoder, features, np.array([0.2, 0.24]))
    assert heard is not None and heard.shape == (2, *CUE[1:])
    assert np.allclose(heard[1], encoder.articulation(features[12:14]).detach().numpy(), atol=1e-5)
