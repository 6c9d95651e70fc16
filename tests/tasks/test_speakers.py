"""Who speaks: the mouth that moves with the sound, the turns of an RTTM file, and never a listener."""

from pathlib import Path

import numpy as np
import pytest

from storage.errors import InputFailed
from tasks.config_sections import Tracks
from tasks.speakers import Turn, group_people, listeners, loudness, read_rttm, turn_masks, who_speaks
from tasks.tracks import Track, Tracker
from tests.tasks.test_tracks import FRAME, face, shots_between


def tracks_with_motion(*motions: np.ndarray, size: float = 60) -> list[Track]:
    """Faces side by side, all in view all the time, with these mouth motions."""
    tracker = Tracker(Tracks())
    for index in range(len(motions[0])):
        tracker.push(index / 25, FRAME, [face(50 + 90 * k, 100, size) for k in range(len(motions))])
    tracks, _ = tracker.finish(shots_between([], tracker.pts, len(motions[0]) / 25))
    tracks.sort(key=lambda track: float(track.bbox[0, 0]))
    for track, motion in zip(tracks, motions, strict=True):
        track.motion = motion.astype(np.float32)
    return tracks


def burst(start: int, end: int, count: int = 200, level: float = 5.0, seed: int = 0) -> np.ndarray:
    motion = np.random.default_rng(seed).uniform(0, 0.4, count)
    motion[start:end] += level * np.abs(np.sin(np.arange(end - start) * 0.9))
    return motion


def test_two_who_speak_in_turn_are_each_animated_in_their_turn() -> None:
    one, two = tracks_with_motion(burst(0, 100), burst(100, 200, seed=1))
    active = who_speaks([one, two], None, 0.04)
    assert active[one.number][:90].all()
    assert active[two.number][110:].all()
    assert not (active[one.number] & active[two.number]).any()


def test_a_lone_face_is_animated_through_its_pauses() -> None:
    (only,) = tracks_with_motion(burst(20, 60))
    assert who_speaks([only], None, 0.04)[only.number].all()


def test_a_listener_is_left_alone_even_when_nobody_else_is_in_view() -> None:
    speaker, listener = tracks_with_motion(burst(0, 200), burst(0, 0, seed=2))
    listener.shot = 1
    active = who_speaks([speaker, listener], None, 0.04, min_motion=0.2)
    assert active[speaker.number].all()
    assert not active[listener.number].any()


def test_movement_in_silence_is_no_speech() -> None:
    chewing, speaking = tracks_with_motion(burst(0, 90, level=8), burst(100, 200, level=3, seed=1))
    loud = np.zeros(200)
    loud[100:] = 1.0
    active = who_speaks([chewing, speaking], loud, 0.04)
    assert active[speaking.number][120:].all()


def test_a_moment_does_not_change_the_choice() -> None:
    steady = burst(0, 200, level=4)
    cough = burst(95, 99, level=7, seed=3)
    one, two = tracks_with_motion(steady, cough)
    assert who_speaks([one, two], None, 0.04)[one.number].all()


def test_lips_that_fit_the_sound_count_for_more_than_lips_that_move() -> None:
    chewing, speaking = tracks_with_motion(burst(0, 200, level=7), burst(0, 200, level=3, seed=1))
    evidence = {chewing.number: np.full(200, 0.02), speaking.number: np.full(200, 0.4)}
    assert who_speaks([chewing, speaking], None, 0.04)[chewing.number].all()
    active = who_speaks([chewing, speaking], None, 0.04, 0.2, evidence)
    assert active[speaking.number].all() and not active[chewing.number].any()
    only_one = who_speaks([chewing, speaking], None, 0.04, 0.0, {chewing.number: evidence[chewing.number]})
    assert only_one[speaking.number].all()


def test_who_says_one_word_is_no_listener_then_and_a_still_mouth_is() -> None:
    host, guest = tracks_with_motion(burst(0, 200, level=8), burst(90, 100, level=3, seed=1))
    assert listeners([host, guest], None, 0.2) == {guest.number}
    said = {host.number: np.ones(200, bool), guest.number: np.arange(200) // 10 == 9}
    assert listeners([host, guest], None, 0.2, said) == set()
    said[guest.number] = np.arange(200) // 10 == 3
    assert listeners([host, guest], None, 0.2, said) == {guest.number}


def test_silence_belongs_to_the_nearest_turn() -> None:
    pts = np.arange(100) / 10
    said = turn_masks([Turn(1.0, 2.0, "a"), Turn(6.0, 7.0, "b"), Turn(6.5, 6.6, "a")], pts)
    assert said["a"][:39].all()
    assert said["b"][42:].all()
    assert said["a"][65]
    assert not said["a"][70:].any()


def test_tracks_of_one_person_are_grouped_by_embedding_but_never_within_a_frame() -> None:
    one, two = tracks_with_motion(burst(0, 100), burst(100, 200, seed=1))
    same = np.eye(512, dtype=np.float32)[0]
    assert len(group_people([one, two], {one.number: same, two.number: same}, 0.35)) == 2
    two.first += 1000
    assert len(group_people([one, two], {one.number: same, two.number: same}, 0.35)) == 1
    assert len(group_people([one, two], {}, 0.35)) == 2


def test_rttm_is_read_in_order_and_other_lines_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "who.rttm"
    path.write_text(
        ";; comment\nSPKR-INFO x 1 <NA> <NA> <NA> unknown ben <NA>\n"
        "SPEAKER x 1 4.0 2.5 <NA> <NA> ben <NA> <NA>\nSPEAKER x 1 0.5 1.5 <NA> <NA> anna <NA>\n"
    )
    assert read_rttm(path) == [Turn(0.5, 2.0, "anna"), Turn(4.0, 6.5, "ben")]


def test_a_broken_rttm_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "who.rttm"
    path.write_text("SPEAKER x 1 0.5 1.5 <NA> <NA> anna\nSPEAKER x 1 soon 2\n")
    with pytest.raises(InputFailed, match="line 2"):
        read_rttm(path)
    with pytest.raises(InputFailed, match=r"nowhere\.rttm"):
        read_rttm(tmp_path / "nowhere.rttm")


def test_loudness_tells_speech_from_pauses() -> None:
    power = np.full(500, 1e-7)
    power[100:300] = 1e-3
    loud = loudness(power, 0.02, np.arange(0, 10, 0.04))
    assert loud[60:140].min() > 0.8
    assert loud[170:].max() < 0.1
    assert loudness(np.zeros(500), 0.02, np.arange(10) / 25).max() == 0
    assert loudness(np.zeros(0), 0.02, np.arange(10) / 25).shape == (10,)
