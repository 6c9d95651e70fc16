"""Grain that is measured can be made again: as strong, as coarse, the same for the same frame."""

import cv2
import numpy as np
import pytest

from tasks.grain import grain, grain_powers, layer_levels, luma

SHAPE = (160, 200)
EVERYWHERE = np.ones(SHAPE, bool)


def noisy(level: float, sigma: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A smooth picture with grain on it, luma float32, and the grain alone."""
    noise = np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)
    if sigma:
        noise = cv2.GaussianBlur(noise, (0, 0), sigma)
    noise *= level / noise.std()
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
    return np.rint(100 + 0.3 * x + 10 * np.sin(y / 20) + noise).astype(np.float32), noise


def lag_one(noise: np.ndarray) -> float:
    return float((noise[:, 1:] * noise[:, :-1]).mean() / noise.var())


@pytest.mark.parametrize(("level", "sigma"), [(3.0, 0.0), (6.0, 0.5), (3.0, 1.0), (5.0, 2.0)])
def test_grain_made_anew_is_as_strong_and_as_coarse(level: float, sigma: float) -> None:
    picture, noise = noisy(level, sigma)
    made = grain(SHAPE, layer_levels(grain_powers(picture, EVERYWHERE)), (1, 2))
    assert made.std() == pytest.approx(level, rel=0.25)
    assert lag_one(made) == pytest.approx(lag_one(noise), abs=0.15)


def test_a_clean_picture_gets_none() -> None:
    picture, _ = noisy(1e-3, 0.0)
    assert layer_levels(grain_powers(picture, EVERYWHERE)).max() < 0.5


def test_edges_and_texture_in_half_of_the_picture_are_no_grain() -> None:
    picture, _ = noisy(2.0, 0.0)
    picture[:, ::7] += 60 * (np.arange(SHAPE[0]) < SHAPE[0] // 2)[:, None]
    assert np.hypot(*layer_levels(grain_powers(picture, EVERYWHERE))[:2]) == pytest.approx(2.0, rel=0.3)


def test_it_is_drawn_from_the_key_alone() -> None:
    levels = np.array([2.0, 1.0, 0.0])
    assert np.array_equal(grain((40, 50), levels, (3, 7)), grain((40, 50), levels, (3, 7)))
    one, other = grain((40, 50), levels, (3, 7)), grain((40, 50), levels, (3, 8))
    assert abs(float(np.corrcoef(one.ravel(), other.ravel())[0, 1])) < 0.1


def test_larger_than_the_store_of_noise_it_goes_on() -> None:
    assert grain((700, 600), np.array([1.0, 0.0, 0.0]), (0, 0)).shape == (700, 600)


def test_too_small_a_region_tells_nothing() -> None:
    assert not grain_powers(np.zeros((5, 5), np.float32), np.ones((5, 5), bool)).any()
    assert luma(np.full((4, 4, 3), 90, np.uint8)).tolist() == [[90.0] * 4] * 4
