"""Which face speaks which track: labels and tracks that do not match are named, a face not to be touched stays."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from models.faces import FaceAnalyzer
from storage import media
from storage.errors import InputFailed
from storage.media import MediaInfo
from tasks.analysis import Analysis
from tasks.casting import cast
from tasks.config import load_config
from tasks.experts import load_faces
from tasks.plan import plan_dub
from tasks.shots import shots_between
from tasks.tracks import Track
from tests.tasks.test_speakers import burst, tracks_with_motion

SILENT = MediaInfo("x.mp4", "mp4", 1, Fraction(0), 0.0, 8.0, None)
CONFIG = load_config()
RTTM = "SPEAKER x 1 0.0 3.9 <NA> <NA> anna <NA> <NA>\nSPEAKER x 1 4.1 3.8 <NA> <NA> ben <NA> <NA>\n"


@pytest.fixture
def two() -> list[Track]:
    return tracks_with_motion(burst(0, 100), burst(100, 200, seed=1))


def analysis(tracks: list[Track]) -> Analysis:
    pts = np.arange(200) / 25
    return Analysis(pts, 8.0, shots_between([], pts, 8.0), tracks, [], 200)


def spoken(library: Path, path: Path, start_s: float) -> Path:
    """A track of sound of 8 s in which somebody speaks for three seconds or so from `start_s` on."""
    sound = np.zeros(8 * 16_000, np.float32)
    voice = media.read_audio(library / "welcome.dub.wav", 16000, 0.3, 3.3)
    sound[round(start_s * 16_000) :][: len(voice)] = voice
    return media.write_audio(path, sound)


def test_labels_are_the_tracks_in_the_order_of_their_first_turns(
    library: Path, tmp_path: Path, two: list[Track]
) -> None:
    rttm = tmp_path / "who.rttm"
    rttm.write_text(RTTM)
    first, second = spoken(library, tmp_path / "a.wav", 0.4), spoken(library, tmp_path / "b.wav", 4.4)
    found = cast("x.mp4", SILENT, analysis(two), two, CONFIG, lambda _: None, None, [first, second], rttm)
    assert found.voices == {two[0].number: 0, two[1].number: 1}
    assert found.active[two[0].number][15:70].all() and not found.active[two[0].number][112:].any()
    assert found.active[two[1].number][115:170].all() and not found.active[two[1].number][:80].any()


def test_tracks_without_labels_are_bound_by_whose_mouth_moves(library: Path, tmp_path: Path, two: list[Track]) -> None:
    later, sooner = spoken(library, tmp_path / "a.wav", 4.4), spoken(library, tmp_path / "b.wav", 0.4)
    found = cast("x.mp4", SILENT, analysis(two), two, CONFIG, lambda _: None, None, [later, sooner])
    assert found.voices == {two[0].number: 1, two[1].number: 0}


def test_labels_and_tracks_that_do_not_match_are_named(library: Path, tmp_path: Path, two: list[Track]) -> None:
    rttm = tmp_path / "who.rttm"
    rttm.write_text(RTTM + "SPEAKER x 1 7.95 0.04 <NA> <NA> cleo <NA> <NA>\n")
    audio = [spoken(library, tmp_path / "a.wav", 0.4), spoken(library, tmp_path / "b.wav", 4.4)]
    with pytest.raises(InputFailed, match=r"3 speakers \(anna, ben, cleo\), but there are 2 tracks"):
        cast("x.mp4", SILENT, analysis(two), two, CONFIG, lambda _: None, None, audio, rttm)


def test_a_face_that_must_not_be_touched_is_left_alone_and_nobody_speaks_for_it(
    face_pack: str, two: list[Track]
) -> None:
    faces: FaceAnalyzer = load_faces(CONFIG.with_({"faces.pack": face_pack}))
    whole = plan_dub("x.mp4", SILENT, analysis(two), faces, CONFIG)
    kept = plan_dub("x.mp4", SILENT, analysis(two), faces, CONFIG, untouched={two[0].number})
    assert [(s.track.number, s.first, s.last) for s in kept] == [
        (s.track.number, s.first, s.last) for s in whole if s.track.number != two[0].number
    ]
    assert len(kept) == 1
