"""Measures of a face: blur, exposure and head pose order pictures and heads the right way."""

import cv2
import numpy as np
import pytest

from tasks import quality


def turned(yaw: float = 0, pitch: float = 0, roll: float = 0) -> np.ndarray:
    """The average head's five points, turned: yaw to the image's right, pitch down, roll clockwise."""
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    around_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    around_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    around_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    points = quality.HEAD @ (around_z @ around_x @ around_y).T
    return points[:, :2] * 80 + 200


@pytest.mark.parametrize("yaw", [-1.0, -0.4, 0.0, 0.3, 0.9])
def test_yaw_is_read_back(yaw: float) -> None:
    assert quality.head_pose(turned(yaw=yaw))[0] == pytest.approx(yaw, abs=0.02)


@pytest.mark.parametrize("pitch", [-0.5, 0.0, 0.4])
def test_pitch_is_read_back(pitch: float) -> None:
    assert quality.head_pose(turned(pitch=pitch))[1] == pytest.approx(pitch, abs=0.02)


@pytest.mark.parametrize("roll", [-0.6, 0.0, 0.5])
def test_roll_is_read_back(roll: float) -> None:
    found = quality.head_pose(turned(roll=roll))
    assert found[2] == pytest.approx(roll, abs=0.02)
    assert abs(found[0]) < 0.02


def test_pose_of_many_frames_at_once() -> None:
    many = np.stack([turned(yaw=y) for y in (-0.2, 0.5)])
    assert np.allclose(quality.head_pose(many)[:, 0], [-0.2, 0.5], atol=0.02)


def test_blurring_lowers_the_measure() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    assert quality.blur(cv2.GaussianBlur(crop, (0, 0), 2)) < 0.1 * quality.blur(crop)


def test_exposure_runs_from_black_to_white() -> None:
    assert quality.exposure(np.zeros((128, 128, 3), np.uint8)) == 0
    assert quality.exposure(np.full((128, 128, 3), 255, np.uint8)) == 1
