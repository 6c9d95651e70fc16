"""Who of those in view speaks: lips that fit the sound, never a mouth that merely moves."""

from __future__ import annotations

import numpy as np

from tasks.speaking import Watched, inside, who_is_speaking

PTS = np.arange(200) / 25
ALWAYS = [(0.0, 8.0)]


def face(
    *spans: tuple[int, int], fit: float = 0.4, motion: float = 3.0, seed: int = 0, pts: np.ndarray = PTS
) -> Watched:
    """A face whose lips fit the sound within `spans` of frames, and move there."""
    rng = np.random.default_rng(seed)
    evidence, moves = rng.normal(0.04, 0.05, len(pts)), rng.uniform(0, 0.6, len(pts))
    for start, end in spans:
        evidence[start:end] += fit
        moves[start:end] += 3.0
    return Watched(pts, evidence.astype(np.float32), moves.astype(np.float32), bool(spans))


def test_two_who_take_turns() -> None:
    one, two = who_is_speaking([face((0, 100)), face((100, 200), seed=1)], ALWAYS)
    assert one[:97].all() and not one[103:].any()
    assert two[103:].all() and not two[:97].any()
    assert not (one & two).any()


def test_a_chewing_listener_does_not_speak() -> None:
    chewing = face(seed=1)
    chewing = Watched(chewing.pts, chewing.evidence, chewing.motion + 2.5, False)
    speaker, listener = who_is_speaking([face((0, 200)), chewing], ALWAYS)
    assert speaker.all() and not listener.any()


def test_a_voice_from_out_of_view_is_nobodys() -> None:
    for listener in who_is_speaking([face(), face(seed=1)], ALWAYS):
        assert not listener.any()
    (alone,) = who_is_speaking([face((0, 100))], ALWAYS)
    assert alone[:97].all() and not alone[103:].any()


def test_nobody_speaks_in_silence() -> None:
    (one,) = who_is_speaking([face((0, 200))], [(2.0, 4.0)])
    assert np.array_equal(one, (PTS >= 2.0) & (PTS < 4.0))
    (one,) = who_is_speaking([face((0, 200))], [])
    assert not one.any()
    assert who_is_speaking([], ALWAYS) == []


def test_faces_may_come_late_and_have_other_times() -> None:
    late = face((0, 100), seed=1, pts=4.0 + np.arange(100) / 29.97)
    one, two = who_is_speaking([face((0, 100)), late], ALWAYS)
    assert one[:97].all() and not one[104:].any()
    assert two.shape == (100,) and two.mean() > 0.95
    (empty,) = who_is_speaking([face(pts=np.zeros(0))], ALWAYS)
    assert empty.shape == (0,)


def test_footage_that_the_expert_knows_less_has_a_lower_bar() -> None:
    weak = face((0, 200), fit=0.17)
    assert who_is_speaking([weak], ALWAYS)[0].mean() > 0.9
    short = face((0, 50), fit=0.17, pts=PTS[:50])  # two seconds may be chance
    assert not who_is_speaking([Watched(short.pts, short.evidence, 0 * short.motion, True)], ALWAYS)[0].any()


def test_without_an_expert_the_mouth_that_moves_decides() -> None:
    moving, still = face((0, 200)), face(seed=1)
    one, two = who_is_speaking(
        [Watched(PTS, None, moving.motion), Watched(PTS, None, still.motion)], ALWAYS
    )  # fmt: skip
    assert one.all() and not two.any()


def test_where_the_expert_is_blind_a_lively_mouth_speaks() -> None:
    moving = Watched(PTS, np.zeros(200), 2.5 + 0 * PTS, False)
    still = Watched(PTS, np.zeros(200), 0.4 + 0 * PTS, False)
    one, two = who_is_speaking([moving, still], ALWAYS)
    assert one.all() and not two.any()
    assert not who_is_speaking([moving], [(0.0, 2.0)])[0].any()  # too little to tell
    assert not who_is_speaking([moving, face((0, 200))], ALWAYS)[0].any()  # it is not blind


def test_inside_spans() -> None:
    assert inside([(0.0, 0.1), (0.2, 0.3)], np.array([0.0, 0.1, 0.25, 0.3])).tolist() == [True, False, True, False]
