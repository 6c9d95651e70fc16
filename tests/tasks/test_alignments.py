"""The crops of public checkpoints: where their templates put a face, steadied, and the way there and back."""

import cv2
import numpy as np
import pytest

from models import landmarks106
from tasks import alignments, crops, masks
from tasks.alignments import LATENTSYNC, MUSETALK, STUDIO
from tasks.compose import face_alpha, match_colour, paste, paste_alpha

PUBLIC = (LATENTSYNC, MUSETALK)
FACE = landmarks106.MEAN_SHAPE * 60 + np.array([160.0, 110.0])


def turned(points: np.ndarray, degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return (points - 150) @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) + 150


def matrix_of(alignment: str, points: np.ndarray, size: int = 256) -> np.ndarray:
    return alignments.landmark_matrices(alignment, size, points[None], np.zeros(1))[0]


def by_svd(points: np.ndarray) -> np.ndarray:
    """The 210 x 280 crop of 256 by the formula in words: centred, divided by their spread, turned by an SVD."""
    template = np.array([[17, 20], [58, 20], [37.5, 40]]) * 2.8
    brows_and_nose = np.stack([points[[43, 48, 49, 51, 50]].mean(0), points[101:106].mean(0),
                               points[[74, 77, 83, 86]].mean(0)])  # fmt: skip
    centre, goal = brows_and_nose.mean(0), template.mean(0)
    source, target = brows_and_nose - centre, template - goal
    scale = target.std() / source.std()
    u, _, vt = np.linalg.svd((source / source.std()).T @ (target / target.std()))
    turn = (u @ vt).T
    return np.concatenate([scale * turn, (goal - scale * turn @ centre)[:, None]], axis=1)


@pytest.mark.parametrize("degrees", [0, 17, -40])
def test_latentsync_s_crop_is_that_of_its_formula(degrees: float) -> None:
    points = turned(FACE, degrees)
    placed = crops.transform_points(matrix_of(LATENTSYNC, points), points)
    tall = crops.transform_points(by_svd(points), points)
    assert np.allclose(placed, (tall + 0.5) * [256 / 210, 256 / 280] - 0.5, atol=1e-3)


def test_a_face_as_the_template_lies_where_the_template_says() -> None:
    points = FACE.copy()
    for index, place in zip(alignments.ANCHORS[:3], ((17, 20), (58, 20), (37.5, 40)), strict=True):
        points[list(index)] = np.array(place) * 3 + 40
    for size in (256, 512):
        brow, other, nose = alignments.anchors_of(crops.transform_points(matrix_of(LATENTSYNC, points, size), points))[
            :3
        ]
        assert np.allclose(brow * 256 / size, [58.1, 51.2], atol=0.3)
        assert np.allclose(other * 256 / size, [197.9, 51.2], atol=0.3)
        assert np.allclose(nose * 256 / size, [128, 102.4], atol=0.3)


def test_musetalk_s_crop_is_a_box_from_cheek_to_cheek_with_the_bridge_in_the_middle() -> None:
    matrix = matrix_of(MUSETALK, turned(FACE, 10))
    assert matrix[0, 1] == matrix[1, 0] == 0, "it is not turned"
    placed = crops.transform_points(matrix_of(MUSETALK, FACE), FACE)
    outline = placed[list(landmarks106.CONTOUR)]
    assert outline[:, 0].min() == pytest.approx(0, abs=2)
    assert outline[:, 0].max() == pytest.approx(255, abs=2)
    below = 256 - 0.5 - outline[:, 1].max()
    assert 256 * 0.03 < below < 256 * 0.05, "a little room under the chin"
    bridge = placed[74, 1]
    assert bridge == pytest.approx((outline[:, 1].max() - 0.5) / 2, abs=1)


def test_the_studio_s_crop_is_the_track_s_own() -> None:
    matrices = np.random.default_rng(0).normal(size=(4, 2, 3))
    shape = alignments._Measured(matrices, np.zeros((4, 4, 2)), np.zeros((4, 33, 2)), np.arange(4) / 25)
    assert np.array_equal(alignments.track_matrices(STUDIO, 256, shape), matrices * 2)
    with pytest.raises(ValueError, match="no alignment 'nose'"):
        alignments.track_matrices("nose", 256, shape)


@pytest.mark.parametrize("alignment", PUBLIC)
def test_the_detector_s_tremble_is_taken_out(alignment: str) -> None:
    rng, times = np.random.default_rng(1), np.arange(50) / 25
    moving = FACE + np.stack([30 * times, 8 * np.sin(2 * times)], 1)[:, None]
    shaky = moving + rng.normal(0, 1.0, moving.shape)
    true = alignments.landmark_matrices(alignment, 256, moving, times, 0)
    raw = alignments.landmark_matrices(alignment, 256, shaky, times, 0)
    steady = alignments.landmark_matrices(alignment, 256, shaky, times, 0.08)
    corner = np.array([[200.0, 180.0]])
    apart = [
        np.mean([np.linalg.norm(crops.transform_points(m, corner) - crops.transform_points(t, corner))
                 for m, t in zip(some, true, strict=True)])
        for some in (raw, steady)
    ]  # fmt: skip
    assert apart[1] < 0.7 * apart[0]
    assert np.abs(alignments.landmark_matrices(alignment, 256, moving, times, 0.08) - true)[:, :, 2].max() < 1.5


def test_a_jaw_that_opens_hardly_changes_musetalk_s_box() -> None:
    times = np.arange(50) / 25
    speaking = np.repeat(FACE[None], 50, axis=0)
    speaking[:, list(landmarks106.CONTOUR), 1] += 6 * np.sin(2 * np.pi * 4 * times)[:, None]
    heights = 1 / alignments.landmark_matrices(MUSETALK, 256, speaking, times)[:, 1, 1]
    alone = 1 / alignments.landmark_matrices(MUSETALK, 256, speaking, times, 0)[:, 1, 1]
    assert np.ptp(heights[10:-10]) < 0.2 * np.ptp(alone)


@pytest.mark.parametrize("alignment", PUBLIC)
@pytest.mark.parametrize("size", [64, 256])
def test_there_and_back_restores_a_smooth_picture(alignment: str, size: int) -> None:
    y, x = np.mgrid[0:300, 0:320]
    frame = np.stack([x * 0.7, y * 0.8, (x + y) * 0.4], axis=-1).astype(np.uint8)
    matrix = matrix_of(alignment, turned(FACE, 12), size)
    after = frame.copy()
    box = paste(after, crops.warp(frame, matrix, size), matrix, np.ones((size, size), np.float32))
    x0, y0, x1, y1 = box
    inside = crops.unwarp(np.ones((size, size), np.float32), matrix, box, border="zero") > 0.999
    assert inside.mean() > 0.4
    assert np.percentile(np.abs(after.astype(int) - frame)[y0:y1, x0:x1][inside], 99) <= 3


@pytest.mark.parametrize("alignment", PUBLIC)
def test_outside_the_face_not_a_level_changes(alignment: str) -> None:
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (300, 320, 3), dtype=np.uint8)
    points, after = turned(FACE, -15), frame.copy()
    matrix = matrix_of(alignment, points)
    outline = crops.transform_points(matrix, points[list(landmarks106.CONTOUR)])
    share = paste_alpha(256, 0.08, alignment=alignment) * face_alpha(outline, 256, alignment=alignment)
    paste(after, rng.integers(0, 256, (256, 256, 3), dtype=np.uint8), matrix, np.asarray(share, np.float32))
    touched = np.any(frame != after, axis=-1)
    hull = np.zeros((300, 320), np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.rint(points).astype(np.int32)), 1)
    room = cv2.dilate(hull, np.ones((79, 79), np.uint8))  # the chin may drop
    assert touched.any()
    assert not touched[room == 0].any()
    lips = points[list(landmarks106.MOUTH)].mean(0)
    assert touched[int(lips[1]) - 3 : int(lips[1]) + 3, int(lips[0]) - 3 : int(lips[0]) + 3].all()
    eyes = points[list(landmarks106.LEFT_EYE)].mean(0)
    assert not touched[int(eyes[1]) - 2 : int(eyes[1]) + 2, int(eyes[0]) - 2 : int(eyes[0]) + 2].any()


@pytest.mark.parametrize("alignment", PUBLIC)
def test_chin_and_lips_show_in_full_and_no_edge_is_hard(alignment: str) -> None:
    placed = crops.transform_points(matrix_of(alignment, FACE), FACE)
    outline = placed[list(landmarks106.CONTOUR)]
    share = paste_alpha(256, 0.08, alignment=alignment) * face_alpha(outline, 256, alignment=alignment)
    for point in (*placed[list(landmarks106.LIPS_OUTER)], placed[landmarks106.CHIN] - [0, 6]):
        assert share[int(point[1]), int(point[0])] > 0.9
    steps = [np.abs(np.diff(share, axis=axis)).max() for axis in (0, 1)]
    assert max(steps) < 0.2
    assert max(share[0].max(), share[-1].max(), share[:, 0].max(), share[:, -1].max()) < 0.2
    grey = np.full((256, 256, 3), 120, np.uint8)
    assert (
        np.abs(match_colour(grey + 9, grey, paste_alpha(256, 0.08, alignment=alignment)).astype(int) - 120).max() <= 9
    )


def test_the_masks_are_those_that_the_networks_were_trained_with() -> None:
    mask = masks.model_mask(LATENTSYNC, 256)
    assert set(np.unique(mask)) == {0, 1}
    assert mask.mean() == pytest.approx(0.407, abs=0.001)
    rows = {y: np.flatnonzero(mask[y]) for y in range(256)}
    assert not len(rows[94]) and not len(rows[243])
    for y, first, last in (
        (95, 9, 248),
        (128, 9, 248),
        (150, 11, 246),
        (193, 26, 230),
        (222, 60, 200),
        (242, 131, 153),
    ):
        assert (rows[y][0], rows[y][-1] + 1) == (first, last)
    assert not mask[100:128, 78:178].any() and mask[128, 78:178].all()
    assert masks.model_mask(LATENTSYNC, 512).mean() == pytest.approx(mask.mean(), abs=0.002)
    half = masks.model_mask(MUSETALK, 256)
    assert not half[:128].any() and half[128:].all()
    for alignment in (STUDIO, *PUBLIC):
        assert masks.model_mask(alignment, 64, whole_face=True).mean() > masks.model_mask(alignment, 64).mean()
    assert np.array_equal(masks.model_mask(STUDIO, 64), masks.dub_mask(64))
    with pytest.raises(ValueError, match="no mask"):
        masks.model_mask("nose", 64)


def test_a_crop_finer_than_the_frame_is_averaged_before_it_is_put_back() -> None:
    matrix = np.array([[5.0, 0, -100.0], [0, 4.5, -100.0]])
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    small, alpha, at = crops.no_finer_than_the_frame(stripes, np.ones((256, 256), np.float32), matrix)
    assert small.shape == (64, 64, 3) and alpha.shape == (64, 64)
    frame = np.zeros((100, 100, 3), np.uint8)
    paste(frame, small, at, alpha)
    assert np.abs(frame[35:60, 35:60].astype(int) - 127).max() < 18
    point = np.array([[50.0, 40.0]])
    assert np.allclose((crops.transform_points(matrix, point) + 0.5) / 4, crops.transform_points(at, point) + 0.5)
    same, _, kept = crops.no_finer_than_the_frame(stripes, alpha, matrix / 4)
    assert same is stripes and np.array_equal(kept, matrix / 4)
