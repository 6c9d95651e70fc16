"""The door on insightface: packs of every kind, frames of every shape, and honest answers about what was measured."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.faces import (
    NON_COMMERCIAL,
    PACKS,
    Face,
    FaceAnalyzer,
    MissingPack,
    UnusablePack,
    find_pack,
    fitted_size,
    licence,
)
from models.landmarks106 import derive, eye_distance
from tasks.studio.controls import Controls
from tasks.studio.identity import sample_identity
from tasks.studio.render import Rendered, render, sample_scene

SHARED = Path(os.environ.get("DUBWRIGHT_SHARED", Path(__file__).parents[3] / "shared"))
SCRFD = SHARED / "weights" / "scrfd_2.5g_bnkps.onnx"
YUNET = SHARED / "weights" / "yunet_n_640_640.onnx"
PORTRAITS = SHARED / "media" / "image"
SIDE = 128  # pixels of a rendered frame
real_weights = pytest.mark.skipif(not SCRFD.exists(), reason="no real detector beside the project")


@pytest.fixture(scope="module")
def analyzer() -> FaceAnalyzer:
    return FaceAnalyzer("studio")


@pytest.fixture(scope="module")
def people() -> list[Rendered]:
    """Two people, two frames each, rendered once."""
    shots = []
    for person in (9_000_001, 9_000_002):
        controls = Controls.neutral(2).set("yaw", np.array([0.0, 0.25])).set("jaw", np.array([0.1, 0.8]))
        shots.append(render(sample_scene(sample_identity(person), person), controls, size=(SIDE, SIDE)))
    return shots


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    inner = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(inner / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - inner))


def on_canvas(shot: Rendered, frame: int, height: int, width: int, left: int, top: int, side: int) -> np.ndarray:
    canvas = np.full((height, width, 3), (90, 110, 120), np.uint8)
    canvas[top : top + side, left : left + side] = cv2.resize(
        shot.frames[frame], (side, side), interpolation=cv2.INTER_AREA
    )
    return canvas


def test_the_studio_pack_gives_everything(analyzer: FaceAnalyzer) -> None:
    assert analyzer.gives == {"landmarks", "embedding"}


@pytest.mark.parametrize(
    ("height", "width", "left", "top", "side"),
    [
        (192, 192, 0, 0, 192),
        (180, 320, 100, 4, 170),
        (288, 512, 330, 60, 180),
        (640, 360, 20, 250, 320),
        (720, 1280, 500, 90, 420),
    ],
)
def test_positions_are_those_of_the_frame(
    analyzer: FaceAnalyzer, people: list[Rendered], height: int, width: int, left: int, top: int, side: int
) -> None:
    for shot in people:
        scale = side / SIDE
        faces = analyzer.detect(on_canvas(shot, 0, height, width, left, top, side))
        assert len(faces) == 1
        face = faces[0]
        shift = np.array([left, top])
        assert overlap(face.bbox, shot.bbox[0] * scale + np.tile(shift, 2)) > 0.6
        truth = shot.landmarks[0] * scale + shift
        eyes = eye_distance(truth)
        assert np.linalg.norm(face.kps - (shot.kps[0] * scale + shift), axis=1).max() < 0.25 * eyes
        assert np.linalg.norm(face.landmarks - truth, axis=1).mean() < 0.06 * eyes
        assert face.landmarks_measured and face.score >= 0.5


def test_two_people_in_one_frame(analyzer: FaceAnalyzer, people: list[Rendered]) -> None:
    frame = on_canvas(people[0], 0, 136, 272, 4, 4, SIDE)
    frame[4:132, 140:268] = people[1].frames[0]
    faces = analyzer.detect(frame)
    assert sorted(face.bbox[0] > 136 for face in faces) == [False, True]
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)


def test_a_person_is_more_like_themselves(analyzer: FaceAnalyzer, people: list[Rendered]) -> None:
    embeddings = [[analyzer.detect(frame)[0].embedding for frame in shot.frames] for shot in people]
    for embedding in (embeddings[0][0], embeddings[1][1]):
        assert embedding is not None and embedding.shape == (512,) and embedding.dtype == np.float32
        assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-4)
    same = min(float(first @ second) for first, second in embeddings)
    other = max(float(a @ b) for a in embeddings[0] for b in embeddings[1])
    assert same > other + 0.1


def test_embedding_can_be_left_out_and_asked_for_later(analyzer: FaceAnalyzer, people: list[Rendered]) -> None:
    frame = people[0].frames[0]
    bare, full = analyzer.detect(frame, embed=False)[0], analyzer.detect(frame)[0]
    assert bare.embedding is None and full.embedding is not None
    later = analyzer.embed(frame, full.kps)
    assert later is not None and np.allclose(later, full.embedding, atol=1e-5)


@pytest.mark.parametrize("kind", ["black", "grey", "noise", "checker", "title", "gradient"])
def test_no_face_where_there_is_none(analyzer: FaceAnalyzer, kind: str) -> None:
    rng = np.random.default_rng(5)
    frame = np.zeros((180, 320, 3), np.uint8)
    if kind == "grey":
        frame[:] = 128
    elif kind == "noise":
        frame = rng.integers(0, 256, frame.shape, np.uint8)
    elif kind == "checker":
        frame[(np.indices(frame.shape[:2]).sum(0) // 12) % 2 == 0] = (220, 180, 150)
    elif kind == "title":
        cv2.putText(frame, "Episode Two", (20, 100), cv2.FONT_HERSHEY_TRIPLEX, 1.4, (255, 255, 255), 2)
    elif kind == "gradient":
        frame[:] = np.linspace(20, 230, 320)[None, :, None]
    assert analyzer.detect(frame) == []


def test_odd_and_tiny_frames(analyzer: FaceAnalyzer) -> None:
    for height, width in ((1, 1), (7, 301), (333, 35), (181, 319)):
        assert analyzer.detect(np.full((height, width, 3), 60, np.uint8)) == []


@pytest.mark.parametrize(
    "frame", [np.zeros((64, 64), np.uint8), np.zeros((64, 64, 4), np.uint8), np.zeros((64, 64, 3))]
)
def test_frames_of_another_kind_are_refused(analyzer: FaceAnalyzer, frame: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8 RGB"):
        analyzer.detect(frame)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (180, 320, (320, 192)),
        (288, 512, (512, 288)),
        (1920, 1080, (384, 640)),
        (64, 64, (320, 320)),
        (1080, 1920, (640, 384)),
    ],
)
def test_detector_input_follows_the_frame(height: int, width: int, expected: tuple[int, int]) -> None:
    assert fitted_size(height, width) == expected


def test_missing_packs_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBWRIGHT_PACKS", str(tmp_path / "mine"))
    with pytest.raises(MissingPack) as caught:
        FaceAnalyzer("buffalo_nowhere", root=tmp_path)
    assert str(tmp_path / "mine") in caught.value.remedy and str(tmp_path / "packs") in caught.value.remedy
    assert isinstance(caught.value, FileNotFoundError)
    for pack in (tmp_path / "gone.onnx", tmp_path):
        with pytest.raises(MissingPack):
            FaceAnalyzer(pack)
    assert not (tmp_path / "mine").exists()


def test_a_pack_of_the_users_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PACKS / "studio" / "faces", tmp_path / "packs" / "house_pack")
    assert FaceAnalyzer("house_pack", root=tmp_path).gives == {"landmarks", "embedding"}
    monkeypatch.setenv("DUBWRIGHT_PACKS", str(tmp_path / "packs"))
    assert find_pack("house_pack") == tmp_path / "packs" / "house_pack"


def test_licences_are_named(tmp_path: Path) -> None:
    assert "Apache-2.0" in licence("studio")
    (tmp_path / "packs" / "buffalo_l").mkdir(parents=True)
    shutil.copy(PACKS / "studio" / "faces" / "det_studio.onnx", tmp_path / "packs" / "buffalo_l" / "det_10g.onnx")
    assert licence("buffalo_l", root=tmp_path) == NON_COMMERCIAL
    with pytest.raises(MissingPack, match="non-commercial"):
        find_pack("antelopev2", root=tmp_path)
    shutil.copy(PACKS / "studio" / "faces" / "det_studio.onnx", tmp_path / "other.onnx")
    assert licence(tmp_path / "other.onnx").startswith("unknown")


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a network")
    with pytest.raises(UnusablePack, match=r"broken\.onnx"):
        FaceAnalyzer(broken)
    shutil.copy(PACKS / "studio" / "faces" / "rec_studio.onnx", tmp_path / "only_identity.onnx")
    with pytest.raises(UnusablePack, match="no face detector"):
        FaceAnalyzer(tmp_path / "only_identity.onnx")


def _portrait(name: str) -> np.ndarray:
    path = PORTRAITS / name
    if not path.exists():
        pytest.skip(f"{name} is not beside the project")
    image = cv2.imread(str(path))
    assert image is not None
    return image[..., ::-1].copy()


@real_weights
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("face_recognition__obama.jpg", 1),
        ("face_recognition__biden.jpg", 1),
        ("face_recognition__two_people.jpg", 2),
        ("hallo2__3.jpg", 1),
    ],
)
def test_a_lone_detector_finds_real_people_and_says_what_it_made_up(name: str, count: int) -> None:
    lone = FaceAnalyzer(SCRFD)
    assert lone.gives == frozenset()
    frame = _portrait(name)
    faces = lone.detect(frame)
    assert len(faces) == count
    for face in faces:
        assert isinstance(face, Face) and face.embedding is None and not face.landmarks_measured
        assert np.allclose(face.landmarks, derive(face.kps), atol=1e-3)
        assert face.kps[0, 0] < face.kps[1, 0] and (face.kps[:, 1] < face.bbox[3]).all()
        assert lone.embed(frame, face.kps) is None


@real_weights
def test_the_shipped_detector_serves_alone_at_any_frame_size() -> None:
    lone = FaceAnalyzer(PACKS / "studio" / "faces" / "det_studio.onnx")
    for shape in ((216, 384, 3), (480, 480, 3)):
        assert lone.detect(np.zeros(shape, np.uint8)) == []


@real_weights
def test_a_lone_detector_does_not_take_its_neighbours_along(tmp_path: Path) -> None:
    shutil.copy(SCRFD, tmp_path / "only.onnx")
    shutil.copy(PACKS / "studio" / "faces" / "rec_studio.onnx", tmp_path / "rec_studio.onnx")
    assert FaceAnalyzer(tmp_path / "only.onnx").gives == frozenset()
    assert FaceAnalyzer(tmp_path).gives == {"embedding"}


@real_weights
def test_a_detector_of_another_make_is_refused() -> None:
    with pytest.raises(UnusablePack, match="five points"):
        FaceAnalyzer(YUNET)
