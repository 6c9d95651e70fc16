"""References: one picture for each way the head is turned."""

from __future__ import annotations

import numpy as np

from tasks.references import SEPARATION, References, nearest, spread


def test_the_reference_is_the_one_turned_like_the_face() -> None:
    crops = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    poses = np.array([[-0.5, 0, 0], [0, 0, 0], [0.5, 0, 0]])
    references = References(crops, poses)
    assert references.near(np.array([[0.40, 0, 0], [0.45, 0, 0], [-0.5, 0, 0]]))[0, 0, 0] == 2  # an outlier counts not
    assert references.near(np.array([[-0.1, 0.02, 0]]))[0, 0, 0] == 1


def test_spread_takes_the_first_then_what_differs_most() -> None:
    yaw = np.linspace(-0.6, 0.6, 61)
    poses = np.stack([yaw, np.zeros(61), np.zeros(61)], 1)
    usable = np.ones(61, bool)
    assert spread(poses, usable, 30, 3) in ([30, 0, 60], [30, 60, 0])
    usable[:10] = False
    assert set(spread(poses, usable, 30, 3)) == {30, 60, 10}
    many = spread(poses, usable, 30, 100)
    gaps = np.abs(poses[many][:, None, 0] - poses[many][None, :, 0]) + np.eye(len(many))
    assert gaps.min() >= SEPARATION - 1e-9
    assert len(set(many)) == len(many)


def test_a_still_head_needs_one_reference() -> None:
    poses = np.zeros((20, 3))
    assert spread(poses, np.ones(20, bool), 7, 6) == [7]
    assert spread(poses, np.zeros(20, bool), 7, 6) == [7]


def test_nearest() -> None:
    assert nearest(np.array([[0.0, 0, 0], [1.0, 0, 0]]), np.array([0.8, 0, 0])) == 1
