"""Turns in a dub: sentences are not cut, listeners keep their faces, voices from elsewhere animate nobody."""

from dataclasses import replace

import numpy as np

from tasks.original_speech import Original
from tasks.speakers import Turn
from tasks.tracks import Track
from tasks.turns import (
    SILENT,
    UNSEEN,
    bind_labels,
    moved_to_pauses,
    needed,
    owners_of,
    runs_of,
    speakers_by_labels,
    speakers_by_voices,
    speakers_of_dub,
)
from tests.tasks.test_speakers import burst, tracks_with_motion


def two() -> list[Track]:
    """Two faces side by side for 8 s, at 25 fps."""
    return tracks_with_motion(burst(0, 75), burst(100, 150, seed=1))


def heard(tracks: list[Track], *turns: tuple[int | None, float, float]) -> Original:
    """Who of them says when; None: somebody who is not in view."""
    speaking = {track.number: np.zeros(len(track), bool) for track in tracks}
    for who, start, end in turns:
        if who is not None:
            track = tracks[who]
            speaking[track.number] |= (track.pts >= start) & (track.pts < end)
    return Original(tuple(sorted((start, end) for _, start, end in turns)), speaking, True)


def frames(flags: np.ndarray) -> list[tuple[float, float]]:
    """The runs of True in seconds."""
    return [(a / 25, b / 25) for a, b, on in runs_of(flags) if on]


def gaps(*spans: tuple[float, float]) -> list[tuple[float, float]]:
    """Pauses between spans of speech, up to 8 s."""
    edges = [0.0, *(edge for span in spans for edge in span), 8.0]
    return list(zip(edges[::2], edges[1::2], strict=True))


def test_a_sentence_that_is_longer_in_the_dub_stays_with_its_speaker() -> None:
    one, other = tracks = two()
    original = heard(tracks, (0, 0.0, 3.0), (1, 3.5, 6.0))
    dub = [(0.0, 3.8), (4.2, 6.5)]
    active = speakers_of_dub(tracks, original, dub, gaps(*dub), 8.0)
    assert active[one.number][:95].all()
    assert active[other.number][105:162].all()
    assert not active[other.number][:95].any()
    assert not active[one.number][105:].any()


def test_a_sentence_that_begins_earlier_in_the_dub_belongs_to_the_next_speaker() -> None:
    one, other = tracks = two()
    original = heard(tracks, (0, 0.0, 3.0), (1, 4.0, 6.0))
    dub = [(0.0, 2.4), (2.7, 6.0)]
    active = speakers_of_dub(tracks, original, dub, gaps(*dub), 8.0)
    assert active[other.number][68:150].all()
    assert not active[one.number][68:].any()
    assert active[one.number][:60].all()


def test_a_short_reply_between_keeps_its_speaker() -> None:
    one, other = tracks = two()
    original = heard(tracks, (0, 0.0, 3.0), (1, 3.2, 3.8), (0, 4.0, 7.0))
    dub = [(0.1, 2.7), (3.0, 3.5), (3.9, 7.2)]
    active = speakers_of_dub(tracks, original, dub, gaps(*dub), 8.0)
    assert active[other.number][75:87].all()
    assert not active[one.number][76:87].any()
    assert active[one.number][100:179].all()


def test_a_voice_from_out_of_view_leaves_all_lips_as_they_are() -> None:
    one, other = tracks = two()
    original = heard(tracks, (0, 0.0, 3.0), (None, 4.0, 7.0))
    dub = [(0.2, 2.8), (4.1, 7.2)]
    active = speakers_of_dub(tracks, original, dub, gaps(*dub), 8.0)
    assert active[one.number][5:70].all()
    assert not active[one.number][102:].any()
    assert not active[other.number].any()


def test_long_silence_is_left_alone_and_short_pauses_are_not() -> None:
    one, _ = tracks = two()
    original = heard(tracks, (0, 0.5, 1.5), (0, 2.0, 3.0), (0, 6.0, 6.9))
    dub = [(0.5, 1.4), (2.2, 3.0), (6.0, 7.0)]
    active = speakers_of_dub(tracks, original, dub, gaps(*dub), 8.0)
    (first, pause), (again, last) = frames(active[one.number])
    assert first == 0 and 3.2 <= pause <= 3.5 and 5.5 <= again <= 5.8 and 7.2 <= last <= 7.6


def test_lips_that_spoke_are_closed_where_the_dub_is_silent() -> None:
    (one, _) = tracks = two()
    active = speakers_of_dub(tracks, heard(tracks, (0, 0.0, 6.0)), [(0.0, 3.0)], gaps((0.0, 3.0)), 8.0)
    assert active[one.number][:150].all()


def test_without_a_dub_turns_are_the_originals() -> None:
    one, other = tracks = two()
    active = speakers_of_dub(tracks, heard(tracks, (0, 1.0, 3.0), (1, 3.5, 6.0)), None, [], 8.0)
    assert frames(active[one.number]) == [(0.0, 3.0)]
    assert frames(active[other.number]) == [(3.0, 8.0)]


def test_changes_keep_their_order_where_a_dub_has_one_pause_for_two() -> None:
    tracks = two()
    owners = owners_of(tracks, heard(tracks, (0, 0.0, 3.0), (1, 3.1, 3.9), (0, 4.0, 7.0)), 8.0)
    moved = moved_to_pauses(owners, gaps((0.0, 3.4), (3.7, 8.0)), tracks)
    assert [owner for _, _, owner in runs_of(moved)] == [tracks[0].number, tracks[1].number, tracks[0].number]


def test_a_face_that_comes_into_view_while_it_speaks_is_dubbed_from_its_first_frame() -> None:
    """The speaker turns away at 3 s and is back at 5 s, speaking all the time; the dub pauses at 5.5 s."""
    away, back = tracks_with_motion(burst(0, 200), burst(0, 200, seed=1))
    away, back = _part(away, 0, 75), _part(back, 125, 200)
    original = heard([away, back], (0, 0.0, 3.0), (None, 3.0, 5.0), (1, 5.0, 8.0))
    dub = [(0.0, 5.4), (5.7, 8.0)]
    active = speakers_of_dub([away, back], original, dub, gaps(*dub), 8.0)
    assert active[away.number].all()
    assert active[back.number].all()


def _part(track: Track, first: int, last: int) -> Track:
    """The frames `first` … `last - 1` of a track that begins at 0."""
    return replace(
        track, first=first, pts=track.pts[first:last], bbox=track.bbox[first:last], motion=track.motion[first:last]
    )


def test_a_moment_in_which_no_lips_fit_is_no_voice_from_elsewhere() -> None:
    tracks = two()
    original = heard(tracks, (0, 0.0, 2.0), (None, 2.0, 2.3), (0, 2.3, 5.0), (None, 5.5, 7.0))
    owners = owners_of(tracks, original, 8.0)
    assert [owner for _, _, owner in runs_of(owners)] == [0, SILENT, 0, SILENT, UNSEEN, SILENT]


def test_labels_are_bound_to_the_faces_that_speak_in_their_turns_and_others_to_nobody() -> None:
    one, other = tracks = two()
    original = heard(tracks, (0, 0.0, 2.5), (1, 3.0, 5.0), (None, 5.5, 7.5))
    turns = [Turn(0.2, 2.8, "anna"), Turn(3.0, 5.3, "ben"), Turn(5.6, 7.9, "narrator")]
    bound = bind_labels([[one], [other]], turns, original)
    assert {label: [track.number for track in faces] for label, faces in bound.faces.items()} == {
        "anna": [one.number], "ben": [other.number],
    }  # fmt: skip
    active = speakers_by_labels(tracks, turns, bound, original)
    assert active[one.number][5:70].all() and not active[one.number][76:].any()
    assert active[other.number][76:130].all() and not active[other.number][141:].any()


def test_a_narrator_gets_no_face_even_if_there_is_one_to_spare() -> None:
    one, listener = tracks = tracks_with_motion(burst(0, 100), burst(0, 0, seed=2))
    turns = [Turn(0.0, 4.0, "anna"), Turn(4.0, 8.0, "narrator")]
    by_sync = bind_labels([[one], [listener]], turns, heard(tracks, (0, 0.0, 4.0), (None, 4.0, 8.0)))
    by_motion = bind_labels([[one], [listener]], turns, None)
    assert set(by_sync.faces) == set(by_motion.faces) == {"anna"}


def test_mouths_that_move_bind_labels_where_lips_cannot() -> None:
    left, right = tracks = tracks_with_motion(burst(0, 100), burst(100, 200, seed=1))
    turns = [Turn(0.0, 4.0, "anna"), Turn(4.0, 8.0, "ben")]
    bound = bind_labels([[left], [right]], turns, None)
    active = speakers_by_labels(tracks, turns, bound, None)
    assert active[left.number][:99].all() and not active[left.number][101:].any()
    assert active[right.number][101:].all()


def test_both_speak_at_once_where_the_turns_overlap() -> None:
    left, right = tracks = tracks_with_motion(burst(0, 110), burst(90, 200, seed=1))
    turns = [Turn(0.0, 4.4, "anna"), Turn(3.6, 8.0, "ben")]
    active = speakers_by_labels(tracks, turns, bind_labels([[left], [right]], turns, None), None)
    assert (active[left.number] & active[right.number])[92:108].all()


def test_each_track_of_sound_is_one_faces() -> None:
    one, other = tracks = two()
    original = heard(tracks, (0, 0.5, 2.5), (1, 3.0, 5.0))
    voices = [[(3.1, 5.4)], [(0.5, 2.9)]]
    active, spoken = speakers_by_voices(tracks, voices, [[one], [other]], original)
    assert spoken == {one.number: 1, other.number: 0}
    assert active[one.number][13:72].all()
    assert active[other.number][76:134].all() and not active[other.number][:60].any()


def test_lips_rest_while_anothers_track_speaks_only_where_they_moved() -> None:
    one, other = tracks = two()
    original = heard(tracks, (0, 0.5, 3.0), (1, 3.2, 6.0))
    active, _ = speakers_by_voices(tracks, [[(0.5, 2.0)], [(2.1, 6.0)]], [[one], [other]], original)
    assert active[one.number][13:75].all() and not active[one.number][76:150].any()
    assert not active[other.number][:50].any()


def test_needed_joins_what_is_near() -> None:
    (one, _) = tracks = two()
    flags = needed(one, heard(tracks, (0, 2.0, 3.0)), [(3.5, 4.0)])
    ((start, end),) = frames(flags)
    assert 1.6 <= start <= 1.8 and 4.2 <= end <= 4.4
