"""Aligned crops: the same face gives the same crop wherever it stands, and the mouth does not move the crop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import crops

FACE = np.array([[80.0, 90.0], [140.0, 92.0], [109.0, 128.0], [88.0, 160.0], [132.0, 161.0]])


def similarity(scale: float, angle: float, x: float, y: float) -> np.ndarray:
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[a, -b, x], [b, a, y]])


@given(scale=st.floats(0.2, 5), angle=st.floats(-1.5, 1.5), x=st.floats(-500, 500), y=st.floats(-500, 500))
def test_alignment_undoes_any_similarity(scale: float, angle: float, x: float, y: float) -> None:
    moved = crops.transform_points(similarity(scale, angle, x, y), FACE)
    placed = crops.transform_points(crops.crop_matrix(moved), moved)
    assert np.allclose(placed, crops.transform_points(crops.crop_matrix(FACE), FACE), atol=0.05)


def test_template_points_land_where_the_template_says() -> None:
    kps = np.concatenate([crops.TEMPLATE * 300 + 40, [[0, 0], [0, 0]]])
    placed = crops.transform_points(crops.crop_matrix(kps, 128), kps[:3])
    assert np.allclose(placed, crops.TEMPLATE * 128, atol=1e-3)


def test_mouth_corners_do_not_move_the_crop() -> None:
    speaking = FACE.copy()
    speaking[3:] += [[-9, 20], [7, 25]]
    assert np.array_equal(crops.crop_matrix(speaking), crops.crop_matrix(FACE))


def test_coinciding_points_are_refused() -> None:
    with pytest.raises(ValueError, match="coincide"):
        crops.crop_matrix(np.ones((5, 2)))


def test_crop_of_a_large_face_is_averaged_not_skipped() -> None:
    # Lines of one pixel: bilinear sampling at a fifth of the size would show black and white stripes.
    frame = np.zeros((1000, 1000, 3), np.uint8)
    frame[:, ::2] = 255
    crop = crops.warp(frame, similarity(0.2, 0, 0, 0), 128)
    assert crop[20:-20, 20:-20].std() < 30  # 127 if pixels were skipped
    assert abs(float(crop[20:-20, 20:-20].mean()) - 127.5) < 4


def test_there_and_back_restores_a_smooth_picture() -> None:
    y, x = np.mgrid[0:240, 0:320]
    frame = np.stack([x * 0.7, y, (x + y) * 0.4], axis=-1).astype(np.uint8)
    matrix = similarity(0.8, 0.3, 10, -40)
    box = crops.crop_box(matrix, 128, 320, 240)
    back = crops.unwarp(crops.warp(frame, matrix, 128), matrix, box)
    inside = crops.unwarp(np.ones((128, 128), np.float32), matrix, box, border="zero") > 0.999
    x0, y0, x1, y1 = box
    apart = np.abs(back.astype(int) - frame[y0:y1, x0:x1])[inside]
    assert inside.mean() > 0.4
    assert np.percentile(apart, 99) <= 2


def test_crop_box_stays_in_the_frame_and_may_be_empty() -> None:
    x0, y0, x1, y1 = crops.crop_box(similarity(1, 0, 60, 60), 128, 320, 240)
    assert (x0, y0) == (0, 0)
    assert x1 <= 70
    x0, y0, x1, y1 = crops.crop_box(similarity(1, 0, 1000, 0), 128, 320, 240)
    assert x0 >= x1 or y0 >= y1


class TestSmoothing:
    times = np.arange(60) / 25

    def track(self, noise: float, seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        moved = [FACE + np.array((40 * t, 15 * np.sin(2 * t))) + rng.normal(0, noise, FACE.shape) for t in self.times]
        return np.stack([crops.crop_matrix(kps) for kps in moved])

    def test_takes_out_trembling(self) -> None:
        true, shaky = self.track(0), self.track(1.5)
        smooth = crops.smooth_matrices(shaky, self.times, 0.08)
        before = np.abs(shaky - true)[:, :, 2].mean()
        after = np.abs(smooth - true)[:, :, 2].mean()
        assert after < 0.6 * before

    def test_does_not_lag_behind_a_moving_head(self) -> None:
        true = self.track(0)
        smooth = crops.smooth_matrices(true, self.times, 0.08)
        assert np.abs(smooth - true)[:, :, 2].max() < 0.6

    def test_result_is_a_similarity(self) -> None:
        smooth = crops.smooth_matrices(self.track(2.0), self.times, 0.08)
        assert np.allclose(smooth[:, 0, 0], smooth[:, 1, 1])
        assert np.allclose(smooth[:, 0, 1], -smooth[:, 1, 0])

    def test_counts_in_seconds_not_frames(self) -> None:
        shaky = self.track(1.5)
        at_once = crops.smooth_matrices(shaky, self.times / 100, 0.08)
        far_apart = crops.smooth_matrices(shaky, self.times * 100, 0.08)
        assert np.allclose(far_apart, shaky)
        assert not np.allclose(at_once, shaky, atol=0.1)

    def test_few_frames_stay_as_they_are(self) -> None:
        assert np.array_equal(crops.smooth_matrices(self.track(1.0)[:2], self.times[:2]), self.track(1.0)[:2])


def test_many_matrices_at_once_are_those_of_each() -> None:
    points = np.stack([FACE + shift for shift in np.random.default_rng(0).normal(0, 9, (20, 5, 2))])
    assert np.allclose(crops.crop_matrices(points), np.stack([crops.crop_matrix(one) for one in points]))
    with pytest.raises(ValueError, match="coincide"):
        crops.crop_matrices(np.ones((2, 5, 2)))


def test_lines_are_those_fitted_one_by_one() -> None:
    rng = np.random.default_rng(1)
    times, values = np.cumsum(rng.uniform(0.01, 0.08, 80)), rng.normal(0, 1, (80, 3))
    found = crops.local_lines(values, times, 0.06)
    for at in (0, 17, 40, 79):
        weights = np.exp(-0.5 * ((times - times[at]) / 0.06) ** 2) * (np.abs(times - times[at]) <= 0.18)
        for column in range(3):
            line = np.polyfit(times - times[at], values[:, column], 1, w=np.sqrt(weights))
            assert found[at, column] == pytest.approx(line[1], abs=1e-6)


@pytest.mark.parametrize("scale", [0.08, 0.13, 0.21, 0.3])
def test_crops_of_large_faces_lie_where_the_matrix_says(scale: float) -> None:
    y, x = np.mgrid[0:900, 0:1100]
    frame = np.stack([x / 5, y / 4, (x + y) / 10], axis=-1).astype(np.uint8)
    matrix = similarity(scale, 0.1, 20, 10)
    crop = crops.warp(frame, matrix, 128)
    v, u = np.mgrid[20:60, 30:60]
    there = crops.transform_points(crops.invert(matrix), np.stack([u, v], axis=-1))
    wanted = np.stack([there[..., 0] / 5, there[..., 1] / 4, there.sum(axis=-1) / 10], axis=-1)
    seen = ((there > 10) & (there < [1090, 890])).all(axis=-1)
    assert seen.any()
    assert np.abs(crop[20:60, 30:60] - wanted)[seen].mean() < 1.0


def test_a_still_head_is_smoothed_more_than_a_moving_one() -> None:
    times = np.arange(100) / 25
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 0.8, (100, 5, 2))
    still = crops.crop_matrices(FACE + noise)
    trembling = crops.smooth_matrices(still, times, 0.06)[:, :, 2].std(axis=0)
    assert (trembling < 0.35 * still[:, :, 2].std(axis=0)).all()
    moved = np.stack([12 * np.sin(5 * times), 6 * np.cos(5 * times)], axis=-1)[:, None]
    true = crops.crop_matrices(FACE + moved)
    found = crops.smooth_matrices(crops.crop_matrices(FACE + moved + noise), times, 0.06)
    assert np.abs(found - true)[5:-5, :, 2].mean() < 1.0
