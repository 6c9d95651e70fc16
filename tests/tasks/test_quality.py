"""Measures of a face: blur, exposure and head pose order pictures and heads the right way."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from models.faces import FaceAnalyzer
from models.landmarks106 import derive
from tasks import crops, quality


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
    soft = np.asarray(cv2.GaussianBlur(crop, (0, 0), 2), dtype=np.uint8)
    assert quality.blur(soft) < 0.1 * quality.blur(crop)


def test_exposure_runs_from_black_to_white() -> None:
    assert quality.exposure(np.zeros((128, 128, 3), np.uint8)) == 0
    assert quality.exposure(np.full((128, 128, 3), 255, np.uint8)) == 1


def five(x: float, y: float, size: float = 100) -> np.ndarray:
    """A frontal face's five points."""
    return (
        np.array([x, y]) + (np.array([[0.34, 0.4], [0.66, 0.4], [0.5, 0.575], [0.38, 0.76], [0.62, 0.76]]) - 0.5) * size
    )


def test_a_whole_face_is_inside_and_one_that_is_cut_off_is_not() -> None:
    whole, cut = five(200, 150), five(5, 150)
    for points in (np.stack([whole, cut]), derive(np.stack([whole, cut]))):
        shares = quality.face_inside(points, 400, 300)
        assert shares[0] == 1
        assert 0.4 < shares[1] < 0.75
    boxes = np.array([[10, 10, 50, 60], [-20, 10, 20, 60], [-60, 0, -10, 50]])
    assert quality.face_inside(boxes, 100, 100).tolist() == [1, 0.5, 0]


def test_landmarks_tell_the_pose_too() -> None:
    found = quality.head_pose(derive(np.stack([five(200, 150), five(90, 80)])))
    assert found.shape == (2, 3)
    assert np.abs(found[:, [0, 2]]).max() < 0.02


def drawn_face(skin: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A simple face in an aligned crop, and its landmarks."""
    points = derive(crops.transform_points(np.eye(2, 3) * 1.28, five(50, 50)))
    picture = np.full((128, 128, 3), skin, np.uint8)
    lips = np.round(points[[52, 64, 63, 71, 67, 68, 61, 58, 59, 53, 56, 55]]).astype(np.int32)
    colour = (np.array(skin) * (0.85, 0.55, 0.6)).tolist()
    cv2.fillPoly(picture, [lips], colour)
    cv2.line(picture, tuple(lips[0].tolist()), tuple(lips[6].tolist()), (40, 15, 15), 1)
    noise = np.random.default_rng(0).normal(0, 2, picture.shape)
    return np.clip(cv2.GaussianBlur(picture, (0, 0), 0.8) + noise, 0, 255).astype(np.uint8), points


@pytest.mark.parametrize("skin", [(225, 185, 165), (150, 105, 80), (88, 58, 44)])
def test_a_scarf_covers_and_bare_skin_of_any_colour_does_not(skin: tuple[int, int, int]) -> None:
    picture, points = drawn_face(skin)
    assert quality.occlusion(picture, points) < 0.5
    top = round(float(points[80, 1]))
    picture[top:] = (40, 90, 190)
    assert quality.occlusion(picture, points) > 0.75


@pytest.mark.slow
def test_of_real_faces_only_the_cut_off_one_is_not_inside(shared_dir: Path) -> None:
    analyzer = FaceAnalyzer(shared_dir / "weights" / "scrfd_2.5g_bnkps.onnx", threads=1)
    least = {}
    for path in sorted((shared_dir / "media" / "image").iterdir()):
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        assert picture is not None
        frame = np.ascontiguousarray(picture[::2, ::2, ::-1], dtype=np.uint8)
        for face in analyzer.detect(frame, embed=False):
            inside = [quality.face_inside(one[None], *frame.shape[1::-1])[0] for one in (face.bbox, face.kps)]
            least[path.stem] = min(inside)
    assert len(least) >= 10
    assert least.pop("face_recognition__obama_partial_face") < 0.85
    assert min(least.values()) > 0.95
