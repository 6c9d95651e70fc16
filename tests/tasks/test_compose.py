"""Pasting back: colours meet at the rim, and outside the region nothing changes by a single level."""

import cv2
import numpy as np
import pytest

from models import landmarks106
from tasks import crops
from tasks.compose import face_alpha, match_colour, paste, paste_alpha, wide_blur

MATRIX = np.array([[0.9, -0.2, -60.0], [0.2, 0.9, -50.0]])


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_outside_the_region_every_pixel_stays() -> None:
    frame = noise(240, 320, 3)
    after = frame.copy()
    alpha = paste_alpha(128, 0.08)
    box = paste(after, noise(128, 128, 3, seed=1), MATRIX, alpha)
    touched = np.any(frame != after, axis=-1)
    x0, y0, x1, y1 = box
    outside = np.ones_like(touched)
    outside[y0:y1, x0:x1] = False
    share = crops.unwarp(alpha, MATRIX, box, border="zero")
    assert touched.any()
    assert not touched[outside].any()
    assert not touched[y0:y1, x0:x1][share == 0].any()


def test_pasting_what_was_cut_out_changes_almost_nothing() -> None:
    y, x = np.mgrid[0:240, 0:320]
    frame = np.stack([x * 0.7, y, 255 - x * 0.5], axis=-1).astype(np.uint8)
    after = frame.copy()
    paste(after, crops.warp(frame, MATRIX, 128), MATRIX, paste_alpha(128, 0.08))
    assert np.abs(after.astype(int) - frame).max() <= 3


def test_a_crop_beside_the_frame_changes_nothing() -> None:
    frame = noise(64, 64, 3)
    after = frame.copy()
    paste(after, noise(128, 128, 3), np.array([[1.0, 0, 5000], [0, 1, 0]]), paste_alpha(128, 0.08))
    assert np.array_equal(frame, after)


def test_strength_zero_shows_the_original() -> None:
    frame = noise(240, 320, 3)
    after = frame.copy()
    paste(after, noise(128, 128, 3, seed=1), MATRIX, np.zeros((128, 128), np.float32))
    assert np.array_equal(frame, after)


def test_a_colour_cast_is_taken_out() -> None:
    original = np.full((128, 128, 3), (150, 110, 90), np.uint8)
    cast = np.clip(original.astype(int) + np.array((14, -9, 6)), 0, 255).astype(np.uint8)
    alpha = paste_alpha(128, 0.08)
    matched = match_colour(cast, original, alpha)
    inside = alpha > 0.5
    assert np.abs(matched.astype(int) - original)[inside].max() <= 2
    assert np.array_equal(match_colour(cast, original, alpha, 0.0), cast)


def test_colour_matching_leaves_a_faithful_crop_alone() -> None:
    original = noise(128, 128, 3)
    assert np.array_equal(match_colour(original, original, paste_alpha(128, 0.08)), original)


def test_only_the_face_and_its_margin_are_repainted() -> None:
    size = 128
    mean = landmarks106.MEAN_SHAPE
    landmarks = mean * 0.31 * size + np.array([0.5, 0.40]) * size
    outline = landmarks[list(landmarks106.CONTOUR)]
    alpha = face_alpha(outline, size)
    chin, left = outline[16], outline[4]
    assert alpha[int(chin[1]) - 10, int(chin[0])] == 1
    assert alpha[min(size - 1, int(chin[1]) + 12), int(chin[0])] == 1, "the chin may drop"
    assert alpha[int(left[1]), int(left[0]) - 14] == 0, "beside the cheek everything stays"
    assert np.abs(np.diff(alpha, axis=1)).max() < 0.4, "the edge is soft"


def test_a_portrait_shows_brows_and_forehead_of_the_repainted_face() -> None:
    outline = np.stack([np.linspace(30, 98, 33), 64 + 50 * np.sin(np.linspace(0, np.pi, 33))], axis=1)
    lower, whole = face_alpha(outline, 128), face_alpha(outline, 128, whole_face=True)
    assert (whole >= lower - 1e-6).all()
    assert lower[50, 64] < 0.2 < 0.9 < whole[50, 64]
    assert paste_alpha(128, 0.05, whole_face=True)[45, 64] == 1
    assert paste_alpha(128, 0.05)[45, 64] == 0


@pytest.mark.parametrize(("size", "sigma"), [(128, 2.0), (128, 15.0), (256, 30.0), (500, 61.0)])
def test_a_wide_blur_is_the_blur_it_stands_for(size: int, sigma: float) -> None:
    picture = np.zeros((size, size, 3), np.float32)
    picture[size // 3 : size // 2, size // 4 : size // 2] = (100, -50, 20)
    exact = cv2.GaussianBlur(picture, (0, 0), sigma)
    told = wide_blur(picture, sigma)
    assert told.shape == exact.shape
    assert np.abs(told - exact).max() < 0.04 * np.abs(exact).max()
