"""Masks: the dubbed region is fixed, and the labels lie where the landmarks say."""

from collections.abc import Callable

import numpy as np
import pytest

from models.landmarks106 import LEFT_BROW, MEAN_SHAPE, RIGHT_BROW, derive
from tasks import crops, masks

KPS = np.concatenate([crops.TEMPLATE, [[0.40, 0.74], [0.60, 0.74]]]) * 128


def landmarks() -> np.ndarray:
    assert MEAN_SHAPE.shape == (106, 2)
    return derive(KPS)


def test_dub_mask_covers_mouth_and_jaw_but_not_the_eyes() -> None:
    mask = masks.dub_mask(128)
    assert mask.shape == (128, 128)
    assert mask.dtype == np.float32
    assert mask[int(0.75 * 128), 64] == 1
    assert mask[int(0.97 * 128), 64] == 1
    assert mask[: int(0.51 * 128)].max() == 0
    assert mask[:, : int(0.09 * 128)].max() == 0
    assert np.allclose(mask, mask[:, ::-1])


def test_dub_mask_scales_with_the_crop() -> None:
    small, large = masks.dub_mask(64).mean(), masks.dub_mask(256).mean()
    assert abs(small - large) < 0.01


def test_dub_mask_is_a_copy() -> None:
    masks.dub_mask(64)[:] = 0
    assert masks.dub_mask(64).max() == 1


def test_the_eye_region_holds_eyes_and_brows_and_nothing_that_is_dubbed() -> None:
    region, points = masks.eye_region(128), landmarks()
    eyes = masks.eye_mask(points, 128)
    assert region.shape == (128, 128) and region.dtype == np.float32
    assert (region * eyes).sum() == eyes.sum() > 0
    brows = np.round(points[[*LEFT_BROW, *RIGHT_BROW]]).astype(int)
    assert region[brows[:, 1], brows[:, 0]].min() == 1
    assert (region * masks.dub_mask(128)).max() == 0
    assert np.allclose(region, region[:, ::-1])


def test_the_middle_of_the_face_holds_what_a_face_is_known_by_and_no_background() -> None:
    middle, points = masks.face_middle(128), landmarks()
    for part in (masks.eye_mask(points, 128), masks.lip_mask(points, 128)):
        assert (middle * part).sum() == part.sum() > 0
    assert middle[masks.face_mask(points, 128) < 0.5].sum() < 0.01 * middle.sum()
    assert np.array_equal(middle * masks.whole_face_mask(128), middle), "it is repainted wholly"
    assert np.allclose(middle, middle[:, ::-1])


@pytest.mark.parametrize("region", [masks.dub_mask, masks.whole_face_mask, masks.eye_region, masks.face_middle])
def test_fixed_regions_scale_with_the_crop_and_are_copies(region: Callable[[int], np.ndarray]) -> None:
    assert region(64).mean() == pytest.approx(region(256).mean(), abs=0.01)
    region(64)[:] = 0
    assert region(64).max() == 1


def test_feather_stays_inside_the_mask() -> None:
    mask = masks.dub_mask(128)
    soft = masks.feather(mask, 10)
    assert soft[mask <= 0.5].max() == 0
    assert soft.max() == 1
    assert 0 < soft[(soft > 0) & (soft < 1)].mean() < 1


def test_feather_reaches_the_border_of_a_mask_that_fills_the_picture() -> None:
    soft = masks.feather(np.ones((40, 40)), 8)
    assert soft[0].max() < 0.2
    assert soft[20, 20] == 1


def test_labels_lie_where_the_landmarks_say() -> None:
    points = landmarks()
    labels = masks.label_mask(points, 128)
    mouth, eye = points[52:72].mean(axis=0), points[33:43].mean(axis=0)
    assert labels[round(float(mouth[1])), round(float(mouth[0]))] == masks.LIPS
    assert labels[round(float(eye[1])), round(float(eye[0]))] == masks.EYES
    assert labels[70, 64] == masks.FACE
    assert labels[2, 2] == masks.OUTSIDE
    share = [(labels == kind).mean() for kind in (masks.LIPS, masks.EYES, masks.FACE)]
    assert share[0] < 0.08
    assert share[1] < 0.06
    assert 0.2 < share[2] < 0.9


def test_lip_mask_grows_with_the_mouth() -> None:
    closed = landmarks()
    opened = closed.copy()
    lower = closed[:, 1] > closed[52:72, 1].mean()
    opened[lower] += [0, 8]
    assert masks.lip_mask(opened, 128).sum() > 1.3 * masks.lip_mask(closed, 128).sum()


def test_with_the_picture_a_face_ends_where_hair_begins() -> None:
    points = landmarks()
    picture = np.full((128, 128, 3), (205, 160, 140), np.uint8)
    hairline = round(float(points[list(LEFT_BROW), 1].min())) - 9
    picture[:hairline] = (60, 42, 30)
    rng = np.random.default_rng(0)
    picture = np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)
    mask = masks.face_mask(points, 128, picture)
    assert mask[: hairline - 2].max() < 0.5
    assert mask[hairline + 3, 64] > 0.5
    bald = masks.face_mask(points, 128, np.full_like(picture, (205, 160, 140)))
    assert bald[: hairline - 2].max() > 0.5
    assert np.array_equal(bald[90:], mask[90:]), "chin and cheeks are the landmarks' alone"


def test_labels_with_the_picture_keep_lips_and_eyes() -> None:
    points = landmarks()
    plain, seen = masks.label_mask(points, 128), masks.label_mask(points, 128, np.full((128, 128, 3), 150, np.uint8))
    for part in (masks.LIPS, masks.EYES):
        assert np.array_equal(plain == part, seen == part)
