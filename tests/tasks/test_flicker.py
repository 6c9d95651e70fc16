"""Flicker: a face that trembles is told from one that moves, or from one that speaks."""

import cv2
import numpy as np

from tasks.flicker import flicker_ratio


def film(shake: float = 0.0, speak: bool = False, count: int = 20) -> np.ndarray:
    """uint8 [T,128,128,3]: a textured face that drifts steadily; `shake` moves its brightness at random."""
    rng = np.random.default_rng(0)
    texture = 120 + 250 * cv2.GaussianBlur(rng.standard_normal((128, 160)), (0, 0), 5)
    frames = []
    for t in range(count):
        frame = texture[:, t : t + 128] + shake * rng.standard_normal()
        if speak:
            cv2.ellipse(frame, (64, 98), (20, 2 + 5 * (t % 4)), 0, 0, 360, 20, -1)
        frames.append(np.repeat(np.clip(frame, 0, 255).astype(np.uint8)[..., None], 3, axis=-1))
    return np.stack(frames)


def test_the_same_picture_is_one_and_trembling_is_more() -> None:
    still = film()
    told = [flicker_ratio(still, film(shake)) for shake in (0.0, 3.0, 8.0)]
    assert told[0] == 1
    assert told[1] is not None
    assert told[2] is not None
    assert 1.2 < told[1] < told[2]


def test_speaking_is_no_flicker() -> None:
    told = flicker_ratio(film(), film(speak=True))
    assert told is not None
    assert told < 1.1


def test_a_few_frames_tell_nothing() -> None:
    assert flicker_ratio(film(count=4), film(count=4)) is None
