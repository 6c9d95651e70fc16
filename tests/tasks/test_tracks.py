"""Tracks: one per face and shot, gaps filled, strangers apart, and nothing lost without a word."""

import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.faces import Face, FaceAnalyzer
from models.landmarks106 import derive
from tasks.config_sections import Tracks
from tasks.shots import shots_between
from tasks.tracks import Dropped, Track, Tracker

POINTS = np.array([[0.33, 0.38], [0.67, 0.38], [0.5, 0.58], [0.36, 0.77], [0.64, 0.77]])
FRAME = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)


def face(x: float, y: float, size: float = 60, measured: bool = False, opened: float = 0.0) -> Face:
    kps = (np.array([x, y]) + (POINTS - 0.5) * size).astype(np.float32)
    landmarks = derive(kps)
    if opened:
        landmarks[60] += [0, opened * size]
    return Face(
        bbox=np.array([x - size / 2, y - size / 2, x + size / 2, y + size / 2], np.float32), score=0.8, kps=kps,
        landmarks=landmarks, embedding=None, landmarks_measured=measured,
    )  # fmt: skip


def run(
    frames: list[list[Face] | None], cuts: tuple[int, ...] = (), config: Tracks | None = None, landmarks: bool = False
) -> tuple[list[Track], list[Dropped]]:
    tracker = Tracker(config or Tracks(), landmarks)
    for index, faces in enumerate(frames):
        tracker.push(index / 25, FRAME, faces)
    shots = shots_between(cuts, tracker.pts, len(frames) / 25)
    return tracker.finish(shots)


def test_a_moving_face_is_one_track() -> None:
    tracks, dropped = run([[face(80 + 3 * i, 100)] for i in range(30)])
    assert len(tracks) == 1
    assert not dropped
    track = tracks[0]
    assert (track.first, track.last, len(track)) == (0, 30, 30)
    assert track.detected.all()
    assert track.ratio() == 1.0
    assert track.matrices.shape == (30, 2, 3)
    assert track.height == pytest.approx(60, abs=0.1)
    assert np.isnan(track.opening).all()


def test_two_faces_stay_apart_when_they_come_close() -> None:
    tracks, _ = run([[face(100 + 2 * i, 100), face(240 - 2 * i, 100)] for i in range(18)])
    assert len(tracks) == 2
    for track in tracks:
        steps = np.diff(track.bbox[:, 0])
        assert np.allclose(steps, steps[0], atol=0.01)


def test_a_short_gap_is_filled_in_and_told() -> None:
    frames: list[list[Face] | None] = [[face(80 + 3 * i, 100)] for i in range(30)]
    frames[10:14] = [[] for _ in range(4)]
    tracks, _ = run(frames)
    assert len(tracks) == 1
    assert tracks[0].detected.sum() == 26
    assert tracks[0].ratio() == pytest.approx(26 / 30)
    assert tracks[0].kps[12, 0, 0] == pytest.approx(face(80 + 3 * 12, 100).kps[0, 0], abs=0.1)


def test_a_face_that_returns_is_picked_up_again() -> None:
    frames: list[list[Face] | None] = [[face(100, 100)] for _ in range(60)]
    frames[20:40] = [[] for _ in range(20)]
    tracks, _ = run(frames)
    assert [(track.first, track.last) for track in tracks] == [(0, 20), (40, 60)]


def test_tracks_end_at_cuts() -> None:
    tracks, _ = run([[face(100, 100)] for _ in range(40)], cuts=(15,))
    assert [(track.first, track.last, track.shot) for track in tracks] == [(0, 15, 0), (15, 40, 1)]


def test_smoothing_does_not_cross_a_cut() -> None:
    frames: list[list[Face] | None] = [[face(100, 100)] for _ in range(20)]
    frames += [[face(112, 104)] for _ in range(20)]
    tracks, _ = run(frames, cuts=(20,))
    assert np.allclose(tracks[0].matrices, tracks[0].matrices[0], atol=1e-5)
    assert np.allclose(tracks[1].matrices, tracks[1].matrices[0], atol=1e-5)


def test_a_flash_is_dropped_with_its_measure() -> None:
    frames: list[list[Face] | None] = [[] for _ in range(30)]
    frames[7:9] = [[face(100, 100)], [face(101, 100)]]
    tracks, dropped = run(frames)
    assert not tracks
    assert len(dropped) == 1
    assert dropped[0].measure == "track_s"
    assert dropped[0].value == pytest.approx(0.08)
    assert dropped[0].value < dropped[0].threshold


def test_detection_in_every_third_frame_covers_all_frames() -> None:
    frames: list[list[Face] | None] = [[face(80 + 2 * i, 100)] if i % 3 == 0 else None for i in range(31)]
    tracks, _ = run([*frames, None])
    assert len(tracks) == 1
    assert len(tracks[0]) == 32
    assert tracks[0].ratio() == 1.0
    assert tracks[0].kps[4, 2, 0] == pytest.approx(face(88, 100).kps[2, 0], abs=0.6)


def test_landmarks_and_opening_are_kept_where_measured() -> None:
    tracks, _ = run([[face(100, 100, measured=True, opened=0.01 * i)] for i in range(20)], landmarks=True)
    assert tracks[0].landmarks is not None
    assert tracks[0].landmarks.shape == (20, 106, 2)
    assert np.allclose(tracks[0].landmarks[:][:, :60], face(100, 100).landmarks[:60], atol=1e-3)
    assert (np.diff(tracks[0].opening) > 0).all()
    assert run([[face(100, 100)] for _ in range(20)])[0][0].landmarks is None


def test_a_face_without_extent_is_ignored() -> None:
    flat = face(100, 100, size=0.5)
    tracks, _ = run([[flat, face(200, 100)] for _ in range(20)])
    assert len(tracks) == 1


def test_mouth_motion_is_not_head_motion() -> None:
    rng = np.random.default_rng(1)
    still = np.kron(rng.integers(60, 200, (24, 32, 1)), np.ones((10, 10, 3))).astype(np.uint8)
    calm, speaking = Tracker(Tracks()), Tracker(Tracks())
    for index in range(20):
        frame = still.copy()
        calm.push(index / 25, frame, [face(160, 120, 100)])
        frame = still.copy()
        frame[140:160, 140:180] = 255 if index % 2 else 0
        speaking.push(index / 25, frame, [face(160, 120, 100)])
    shots = shots_between([], calm.pts, 0.8)
    quiet, loud = calm.finish(shots)[0][0], speaking.finish(shots)[0][0]
    assert quiet.motion.max() < 1
    assert loud.motion[1:].min() > 10


def test_points_in_gaps_lie_between_those_that_were_seen() -> None:
    frames: list[list[Face] | None] = [[face(80 + 3 * i, 100)] for i in range(30)]
    frames[10:14] = [[] for _ in range(4)]
    points = run(frames, landmarks=True)[0][0].landmarks
    assert points is not None
    wanted = np.stack([face(80 + 3 * i, 100).landmarks for i in range(30)])
    assert np.allclose(points[:], wanted, atol=1e-3)
    assert np.allclose(points[11:13], wanted[11:13], atol=1e-3)
    assert np.allclose(points[9::5], wanted[9::5], atol=1e-3)
    assert points[4:4].shape == (0, 106, 2)


def test_the_outline_is_the_same_with_all_landmarks_or_without() -> None:
    frames: list[list[Face] | None] = [[face(80 + 3 * i, 100), face(200, 120 + i)] for i in range(20)]
    for lean, whole in zip(run(frames)[0], run(frames, landmarks=True)[0], strict=True):
        assert lean.outline.shape == (20, 33, 2)
        assert np.allclose(lean.outline, whole.outline, atol=1e-4)
        assert np.allclose(lean.anchors, whole.anchors, atol=1e-4)


def test_a_face_that_turned_away_is_the_same_person_when_it_is_back() -> None:
    frames: list[list[Face] | None] = [[face(100, 100), face(220, 100)] for _ in range(70)]
    for index in range(20, 40):
        frames[index] = [face(220, 100)]
    tracks, _ = run(frames)
    assert [(track.first, track.last) for track in tracks] == [(0, 20), (0, 70), (40, 70)]
    assert tracks[2].person == tracks[0].person != tracks[1].person


def test_another_place_or_a_long_time_is_another_person() -> None:
    elsewhere: list[list[Face] | None] = [[face(60, 100)] for _ in range(20)]
    elsewhere += [[] for _ in range(20)] + [[face(240, 100)] for _ in range(20)]
    assert len({track.person for track in run(elsewhere)[0]}) == 2
    later: list[list[Face] | None] = [[face(60, 100)] for _ in range(20)]
    later += [[] for _ in range(90)] + [[face(60, 100)] for _ in range(20)]
    assert len({track.person for track in run(later)[0]}) == 2


def test_a_face_half_hidden_for_a_moment_stays_in_its_track() -> None:
    frames: list[list[Face] | None] = [[face(100, 100)] for _ in range(40)]
    frames[18], frames[19] = [face(116, 100)], [face(132, 100)]  # what is seen of it seems to move away
    for index in range(20, 26):
        frames[index] = []
    tracks, _ = run(frames)
    assert [(track.first, track.last) for track in tracks] == [(0, 40)]


def peak_of_tracking(frames: int) -> float:
    """MiB that Python and numpy hold at most while a face is tracked for so many frames."""
    tracker, one = Tracker(Tracks(), keep_landmarks=True), face(100, 100, measured=True)
    small = np.zeros((64, 64, 3), np.uint8)
    tracemalloc.start()  # not the process's own peak, in which all tests before this one have their part
    try:
        for index in range(frames):
            tracker.push(index / 25, small, [one])
        tracks, _ = tracker.finish(shots_between([], tracker.pts, frames / 25))
        peak = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    assert tracks[0].landmarks is not None and len(tracks[0].landmarks[-50:]) == 50
    return peak


def test_long_tracks_cost_little_memory() -> None:
    """Finishing takes a few MiB whatever the length; beside them, 60 an hour."""
    frames, hour = 6000, 90_000
    grown = peak_of_tracking(2 * frames) - peak_of_tracking(frames)
    assert grown < 60 * frames / hour, f"{grown:.1f} MiB for {frames} frames more"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["face_recognition__two_people.jpg", "multitalk__multi1.png", "multitalk__multi3.png"])
def test_two_real_people_side_by_side_are_two_tracks(shared_dir: Path, name: str) -> None:
    picture = cv2.imread(str(shared_dir / "media" / "image" / name), cv2.IMREAD_COLOR)
    assert picture is not None
    picture = cv2.resize(picture[..., ::-1], (640, round(640 * picture.shape[0] / picture.shape[1])))
    analyzer = FaceAnalyzer(shared_dir / "weights" / "scrfd_2.5g_bnkps.onnx", threads=1)
    height, width = picture.shape[:2]
    tracker, count = Tracker(Tracks()), 12
    for index in range(count):
        zoom, shift = 1 + 0.01 * index, -0.5 * index
        matrix = np.array([[zoom, 0, shift - (zoom - 1) * width / 2], [0, zoom, -(zoom - 1) * height / 3]])
        frame = np.asarray(cv2.warpAffine(picture, matrix, (width, height)), np.uint8)
        tracker.push(index / 25, frame, analyzer.detect(frame, embed=False))
    tracks, _ = tracker.finish(shots_between([], tracker.pts, count / 25))
    whole = [track for track in tracks if len(track) == count]
    assert len(whole) == 2
    assert whole[0].person != whole[1].person
