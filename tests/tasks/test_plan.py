"""What a dub will change: runs of frames with soft ends, the best frame as reference, profiles left alone."""

from fractions import Fraction

import numpy as np
import pytest

from models.faces import FaceAnalyzer
from storage.media import MediaInfo
from tasks.analysis import Analysis, frame_interval
from tasks.config import load_config
from tasks.experts import load_faces
from tasks.plan import best_frame, plan_dub
from tasks.shots import shots_between
from tasks.tracks import Track
from tests.tasks.test_quality import turned
from tests.tasks.test_speakers import burst, tracks_with_motion

SILENT = MediaInfo("x.mp4", "mp4", 1, Fraction(0), 0.0, 8.0, None)
CONFIG = load_config()


@pytest.fixture(scope="module")
def faces(face_pack: str) -> FaceAnalyzer:
    return load_faces(CONFIG.with_({"faces.pack": face_pack}))


def analysis(tracks: list[Track]) -> Analysis:
    pts = np.arange(200) / 25
    return Analysis(pts, 8.0, shots_between([], pts, 8.0), tracks, [], 200)


def test_a_face_is_dubbed_from_its_first_frame_to_its_last_at_full_strength(faces: FaceAnalyzer) -> None:
    tracks = tracks_with_motion(burst(0, 200))
    (segment,) = plan_dub("x.mp4", SILENT, analysis(tracks), faces, CONFIG)
    assert (segment.first, segment.last) == (0, 200)
    assert (segment.strength == 1).all()
    assert all(0 <= index < 200 for index in segment.references)


def test_the_change_of_speaker_fades(faces: FaceAnalyzer) -> None:
    tracks = tracks_with_motion(burst(0, 100), burst(100, 200, seed=1))
    one, two = plan_dub("x.mp4", SILENT, analysis(tracks), faces, CONFIG)
    assert one.strength[0] == 1
    assert 0 < one.strength[-1] < one.strength[-2] < one.strength[-3] < 1
    assert 0 < two.strength[0] < two.strength[1] < 1
    assert two.strength[-1] == 1


def test_small_faces_and_profiles_are_left_alone(faces: FaceAnalyzer) -> None:
    tracks = tracks_with_motion(burst(0, 200), size=20)
    assert plan_dub("x.mp4", SILENT, analysis(tracks), faces, CONFIG) == []
    (track,) = tracks_with_motion(burst(0, 200))
    track.kps[80:120] = turned(yaw=1.5)
    segments = plan_dub("x.mp4", SILENT, analysis([track]), faces, CONFIG)
    assert [(segment.first, segment.last) for segment in segments] == [(0, 80), (120, 200)]


def test_no_faces_no_plan(faces: FaceAnalyzer) -> None:
    assert plan_dub("x.mp4", SILENT, analysis([]), faces, CONFIG) == []


def test_the_reference_is_frontal_sure_and_closed() -> None:
    (track,) = tracks_with_motion(np.zeros(200))
    track.kps[:] = turned(yaw=0.6)
    track.kps[50:60] = turned(yaw=0.02)
    track.score[55] = 0.95
    assert best_frame(track) == 55
    track.detected[55] = False
    assert best_frame(track) in set(range(50, 60)) - {55}
    track.opening[:] = 0.5
    track.opening[58] = 0.02
    assert best_frame(track) == 58


def test_a_single_frame_lasts_as_long_as_the_rate_says() -> None:
    assert frame_interval(np.array([3.0]), 25) == pytest.approx(0.04)
    assert frame_interval(np.arange(10) / 30, 25) == pytest.approx(1 / 30)
