"""Things before a face stay: hands, microphones, scarves; a bare face, its mouth and its chin are repainted."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from models.landmarks106 import CONTOUR
from storage import media
from tasks import crops
from tasks.compose import face_alpha, paste_alpha
from tasks.dubber import Dubber
from tasks.exams.occluders import KINDS, occlude
from tasks.foreground import left_alone

SIZE = 128
Shot = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def shots(library: Path, dubber: Dubber) -> list[Shot]:
    """For two people: a frame, its landmarks [106,2], and the crop of the moment with another mouth."""
    found = []
    for name in ("welcome.mp4", "news.mp4"):
        frames = [frame for _, _, frame in media.iter_frames(library / name, end_s=1.0)]
        faces = [max(dubber.experts.faces.detect(frame, embed=False), key=lambda face: face.size) for frame in frames]
        opening = [float(np.ptp(face.landmarks[[71, 53, 56, 59], 1])) for face in faces]
        one, other = int(np.argmin(opening)), int(np.argmax(opening))
        made = crops.warp(frames[other], crops.crop_matrix(faces[other].kps), SIZE)
        found.append((frames[one], faces[one].landmarks, faces[one].kps, made))
    return [(frame, (landmarks, crops.crop_matrix(kps)), made) for frame, landmarks, kps, made in found]


def kept(frame: np.ndarray, clean: np.ndarray, shot: Shot) -> tuple[float, np.ndarray, np.ndarray]:
    """How much of what was put before the face stays, of that which would be repainted; what stays; the share."""
    _, (landmarks, matrix), made = shot
    outline = crops.transform_points(matrix, landmarks[list(CONTOUR)])
    stays = left_alone(crops.warp(frame, matrix, SIZE), made, outline)
    share = paste_alpha(SIZE, 0.08) * face_alpha(outline, SIZE)
    cover = (np.abs(frame.astype(int) - clean).max(axis=-1) > 6).astype(np.uint8) * np.uint8(255)
    there = share * (crops.warp(np.repeat(cover[..., None], 3, -1), matrix, SIZE)[..., 0] > 127)
    return float((stays * there).sum() / max(float(there.sum()), 1e-6)), stays, share


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_before_a_face_stays(kind: str, shots: list[Shot]) -> None:
    told = []
    for number, shot in enumerate(shots):
        for draw in range(3):
            hidden, share = occlude(shot[0], shot[1][0], kind, np.random.default_rng([number, draw, 5]))
            if share > 0.1:
                told.append(kept(hidden, shot[0], shot)[0])
    # A hand before the cheek alone has the colours of the face; what it hides of the mouth is seen.
    assert np.mean(told) > (0.6 if kind in ("hand", "microphone") else 0.9)


def test_a_bare_face_is_repainted_with_its_mouth(shots: list[Shot]) -> None:
    for shot in shots:
        _, stays, share = kept(shot[0], shot[0], shot)
        lips = np.zeros((SIZE, SIZE), np.uint8)
        place = crops.transform_points(shot[1][1], shot[1][0][52:72]).mean(axis=0)
        cv2.circle(lips, (round(float(place[0])), round(float(place[1]))), 14, 1, -1)
        assert (stays * share)[lips > 0].sum() < 0.02 * share[lips > 0].sum()
        assert stays[share > 0.5].mean() < 0.45


def test_hair_and_backdrop_beside_the_face_stay(shots: list[Shot]) -> None:
    for shot in shots:
        _, stays, share = kept(shot[0], shot[0], shot)
        outline = crops.transform_points(shot[1][1], shot[1][0][list(CONTOUR)])
        face = np.zeros((SIZE, SIZE), np.uint8)
        cv2.fillConvexPoly(face, cv2.convexHull(np.rint(outline).astype(np.int32)), 1)
        beside = (cv2.dilate(face, np.ones((9, 9), np.uint8)) == 0) & (share > 0.05)
        beside[int(outline[16][1]) - 12 :] = False
        assert stays[beside].mean() > 0.8


def test_a_face_out_of_the_picture_tells_nothing() -> None:
    grey = np.full((SIZE, SIZE, 3), 128, np.uint8)
    assert not left_alone(grey, grey, np.full((33, 2), -500.0) + np.arange(33)[:, None]).any()
