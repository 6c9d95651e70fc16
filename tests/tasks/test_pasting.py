"""A generated crop in its frame: the face changes, what lies round it does not, and a rerun gives the same bytes."""

import cv2
import numpy as np

from models import landmarks106
from tasks import crops
from tasks.config_sections import Render
from tasks.pasting import Paster

MATRIX = np.array([[0.9, -0.2, -60.0], [0.2, 0.9, -50.0]])
SIZE = 128
MOUTH = (64.0, 96.0)


def scene(seed: int = 0) -> np.ndarray:
    """uint8 [240,320,3]: nothing but skin and lips, with grain on it."""
    y, x = np.mgrid[0:240, 0:320]
    smooth = np.stack([170 + x * 0.06, 120 + y * 0.08, 95 + x * 0.04], axis=-1)
    x, y = (round(float(v)) for v in crops.transform_points(crops.invert(MATRIX), np.array([MOUTH]))[0])
    cv2.ellipse(smooth, (x, y), (20, 11), 0, 0, 360, (165, 75, 75), -1)
    grain = np.random.default_rng(seed).normal(0, 4, (240, 320, 1))
    return np.clip(np.rint(smooth + grain), 0, 255).astype(np.uint8)


def outline_in_frame() -> np.ndarray:
    """float [33,2]: the outline of a face in the middle of the crop, frame pixels."""
    landmarks = landmarks106.MEAN_SHAPE * 0.31 * SIZE + np.array([0.5, 0.40]) * SIZE
    return crops.transform_points(crops.invert(MATRIX), landmarks[list(landmarks106.CONTOUR)])


def pasted(made: np.ndarray, strength: float = 1.0, key: tuple[int, int] = (0, 0), **settings: float) -> np.ndarray:
    frame = scene()
    original = crops.warp(frame, MATRIX, SIZE)
    Paster(SIZE, "studio", Render(**settings)).paste(frame, made, original, MATRIX, outline_in_frame(), strength, key)
    return frame


def darker() -> np.ndarray:
    """uint8 [S,S,3]: the crop with a dark mouth in it."""
    crop = crops.warp(scene(), MATRIX, SIZE)
    cv2.ellipse(crop, (64, 96), (18, 9), 0, 0, 360, (40, 10, 10), -1)
    return crop


def test_the_mouth_is_new_and_nothing_beside_the_face_changes() -> None:
    before, after = scene(), pasted(darker())
    touched = np.abs(after.astype(int) - before).max(axis=-1)
    mouth = crops.transform_points(crops.invert(MATRIX), np.array([MOUTH]))[0].astype(int)
    assert touched[mouth[1], mouth[0]] > 40
    x0, y0, x1, y1 = crops.crop_box(MATRIX, SIZE, 320, 240)
    outside = np.ones((240, 320), bool)
    outside[y0:y1, x0:x1] = False
    assert not touched[outside].any()


def test_strength_zero_leaves_the_frame() -> None:
    assert np.array_equal(pasted(darker(), 0.0), scene())


def test_the_same_frame_comes_out_the_same_whatever_came_before() -> None:
    paster, made = Paster(SIZE, "studio", Render()), darker()
    original = crops.warp(scene(), MATRIX, SIZE)
    outs = []
    for order in ((3, 4, 5), (5, 3)):
        frames = {}
        for index in order:
            frames[index] = scene()
            paster.paste(frames[index], made, original, MATRIX, outline_in_frame(), 1.0, (0, index))
        outs.append(frames[5])
    assert np.array_equal(*outs)


def smooth_face() -> np.ndarray:
    """uint8 [S,S,3]: what a model makes of the crop: no grain, another mouth, tones a little off."""
    crop = cv2.GaussianBlur(darker(), (0, 0), 3).astype(int) + np.array([6, -4, 3])
    return np.clip(crop, 0, 255).astype(np.uint8)


def fine(frame: np.ndarray, where: np.ndarray) -> float:
    """Standard deviation of what is finer than a pixel or two."""
    values = frame.astype(np.float32).mean(axis=-1)
    return float((values - cv2.GaussianBlur(values, (0, 0), 1.5))[where].std())


def around(centre: tuple[float, float], radius: float) -> np.ndarray:
    """bool [240,320]: a disc about a place of the crop."""
    x, y = crops.transform_points(crops.invert(MATRIX), np.array([centre]))[0]
    rows, columns = np.mgrid[0:240, 0:320]
    return np.hypot(columns - x, rows - y) < radius


def test_the_generated_mouth_has_the_grain_of_the_footage() -> None:
    mouth = around(MOUTH, 6)
    before = fine(scene(), mouth)
    bare = fine(pasted(smooth_face(), grain=0.0, detail=0.0), mouth)
    kept = fine(pasted(smooth_face()), mouth)
    assert bare < 0.3 * before
    assert 0.75 * before < kept < 1.25 * before


def test_grain_is_drawn_anew_for_each_frame_and_again_for_a_rerun() -> None:
    one, again, next_one = (pasted(smooth_face(), key=(0, index)) for index in (7, 7, 8))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, next_one)


def test_where_shapes_agree_the_footage_keeps_its_detail_and_its_tones() -> None:
    cheek = around((36, 84), 5)
    before, after = scene(), pasted(smooth_face(), grain=0.0)
    off = pasted(smooth_face(), grain=0.0, detail=0.0)
    assert np.abs(after.astype(int) - before)[cheek].mean() < 2
    assert np.abs(off.astype(int) - before)[cheek].mean() > 2
