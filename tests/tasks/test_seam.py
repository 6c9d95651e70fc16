"""The seam's measure: one where nothing was done, more where old and new do not meet."""

import cv2
import numpy as np

from tasks.masks import dub_mask, feather
from tasks.seam import seam_energies, seam_ratio

SHARE = feather(dub_mask(128), 8)


def picture(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 25, (128, 128, 3))
    return np.clip(120 + 3 * cv2.GaussianBlur(noise, (0, 0), 3), 0, 255).astype(np.uint8)


def mixed(new: np.ndarray, share: np.ndarray = SHARE) -> np.ndarray:
    old = picture()
    return np.rint(old * (1 - share[..., None]) + new * share[..., None]).astype(np.uint8)


def ratio(new: np.ndarray, share: np.ndarray = SHARE) -> float:
    found = seam_ratio([seam_energies(picture(), mixed(new, share), SHARE)])
    assert found is not None
    return found


def test_nothing_done_is_one() -> None:
    assert ratio(picture()) == 1


def test_another_tone_and_a_hard_edge_show() -> None:
    brighter = np.clip(picture().astype(int) + 30, 0, 255).astype(np.uint8)
    soft, hard = ratio(brighter), ratio(brighter, (SHARE > 0).astype(np.float32))
    assert 1.1 < soft < hard


def test_content_as_lively_as_the_footage_is_no_seam() -> None:
    assert ratio(picture(1)) < 1.1


def test_without_an_edge_nothing_is_told() -> None:
    assert seam_energies(picture(), picture(1), np.ones((128, 128))) == (0.0, 0.0)
    assert seam_ratio([]) is None
