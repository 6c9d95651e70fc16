"""The 106 landmarks: every index named once, and a guess from five points that follows them."""

import numpy as np
import pytest

from models import landmarks106 as lm


def test_groups_name_every_landmark_once() -> None:
    groups = (
        lm.CONTOUR, lm.MOUTH, lm.NOSE, lm.LEFT_EYE, lm.LEFT_PUPIL, lm.LEFT_BROW,
        lm.RIGHT_EYE, lm.RIGHT_PUPIL, lm.RIGHT_BROW,
    )  # fmt: skip
    assert sorted(index for group in groups for index in group) == list(range(lm.COUNT))
    assert sorted(lm.LIPS_OUTER + lm.LIPS_INNER) == list(lm.MOUTH)
    assert sorted(lm.MIRROR) == list(range(lm.COUNT))
    assert len(lm.IBUG68) == len(set(lm.IBUG68)) == 68


def test_mean_shape_lies_as_a_face_does() -> None:
    shape = lm.MEAN_SHAPE
    assert np.allclose(lm.eye_distance(shape), 1.0, atol=2e-3)
    assert shape[lm.CHIN, 1] == shape[:, 1].max()
    assert shape[lm.MOUTH_LEFT, 0] < 0 < shape[lm.MOUTH_RIGHT, 0]
    assert shape[71, 1] < shape[lm.INNER_UPPER, 1] <= shape[lm.INNER_LOWER, 1] < shape[53, 1]
    assert np.allclose(lm.mirror(shape, 0.0), shape, atol=2e-3)


@pytest.mark.parametrize("angle", [0.0, 0.4, -1.1])
def test_derive_follows_a_similarity(angle: float) -> None:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = lm.MEAN_SHAPE @ turn.T * 40 + [200, 120]
    stack = np.stack([lm.kps_from(moved), lm.kps_from(lm.MEAN_SHAPE)])
    derived = lm.derive(stack)
    assert derived.shape == (2, 106, 2)
    assert derived.dtype == np.float32
    assert np.allclose(derived[0], moved, atol=1e-3)
    assert np.allclose(derived[1], lm.MEAN_SHAPE, atol=1e-5)


def test_mouth_opening_is_in_eye_distances() -> None:
    shape = lm.MEAN_SHAPE * 50
    shape[lm.INNER_LOWER, 1] = shape[lm.INNER_UPPER, 1] + 25
    assert lm.mouth_opening(shape[None]) == pytest.approx([0.5], rel=2e-3)
