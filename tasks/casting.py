"""Casting: which face speaks which track of a dub, frame by frame.

Asked in this order: the user's RTTM file, a track for each face, and else who speaks in the original, by lips against
sound. Where that cannot be told (no sound, no sync expert, next to no speech) mouths that move decide.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from models.sync import SyncExpert
from models.syncnet import SyncNet
from storage.errors import InputFailed
from storage.media import MediaInfo
from tasks.analysis import Analysis, frame_interval
from tasks.config import Config
from tasks.original_speech import Original, who_spoke
from tasks.speakers import Active, Turn, group_people, listeners, loudness, read_rttm, who_speaks
from tasks.tracks import Track
from tasks.turns import Bound, bind_labels, speakers_by_labels, speakers_by_voices, speakers_of_dub
from tasks.voice import HOP_S, sound_power
from tasks.voices import pauses, speech_spans

Paths = Sequence[str | os.PathLike[str]]
Identify = Callable[[Track], NDArray[np.float32] | None]
"""The unit embedding [512] of a track's face, or None."""


@dataclass(frozen=True)
class Cast:
    """active: track number → bool [T], the frames in which this face is dubbed. voices: track number → which of the
    job's tracks it speaks; 0 where it is not named.
    """

    active: Active
    voices: dict[int, int] = field(default_factory=dict)


def cast(
    path: str | os.PathLike[str],
    info: MediaInfo,
    analysis: Analysis,
    tracks: Sequence[Track],
    config: Config,
    identify: Identify,
    expert: SyncExpert | SyncNet | None = None,
    audio: Paths = (),
    speakers: str | os.PathLike[str] | None = None,
    alive: Callable[[], object] = bool,
    original: Original | None = None,
) -> Cast:
    """Who is dubbed when.

    Args:
        path: the film. tracks: the faces that count.
        expert: hears whose lips fit the film's sound; None: mouths that move decide.
        audio: the dub's tracks, in the job's order; several: each is one face's. None given: turns are not moved.
        alive: called from time to time.
        original: who speaks in the film, where that is known already.
        speakers: RTTM file of the dub. With several tracks its labels are theirs, in the order of their first turns.

    Raises:
        InputFailed: the RTTM file cannot be read, or has not one label for each of several tracks.
    """
    if original is None and info.audio and expert is not None and tracks:
        original = who_spoke(path, tracks, expert, config.preprocess.max_sync_offset, alive)
    known = original is not None and original.told
    if speakers is not None:
        turns = read_rttm(speakers)
        people = _people(tracks, identify, config) if turns else []
        bound = bind_labels(people, turns, original)
        if len(audio) < 2:
            return Cast(speakers_by_labels(tracks, turns, bound, original))
        named = _voices_of(speakers, turns, bound, len(audio))
        return Cast(*speakers_by_voices(tracks, [speech_spans(one) for one in audio], people, original, named))
    if len(audio) > 1:
        people = _people(tracks, identify, config)
        return Cast(*speakers_by_voices(tracks, [speech_spans(one) for one in audio], people, original))
    loud = loudness(sound_power(path, HOP_S), HOP_S, analysis.pts) if info.audio else None
    if original is not None and known:
        # A sync expert can be taken in by faces that it knows little of; a mouth that hardly moves does not speak.
        still = listeners(tracks, loud, config.render.min_motion, original.speaking)
        spoke = {number: said & (number not in still) for number, said in original.speaking.items()}
        original = replace(original, speaking=spoke)
        dub = speech_spans(audio[0]) if audio else None
        silent = pauses(audio[0], dub) if dub is not None else []
        return Cast(speakers_of_dub(tracks, original, dub, silent, analysis.end_s))
    return Cast(who_speaks(tracks, loud, frame_interval(analysis.pts, 25.0), config.render.min_motion))


def _people(tracks: Sequence[Track], identify: Identify, config: Config) -> list[list[Track]]:
    """Tracks by person."""
    return group_people(tracks, {track.number: identify(track) for track in tracks}, config.tracks.same_person)


def _voices_of(speakers: str | os.PathLike[str], turns: Sequence[Turn], bound: Bound, count: int) -> Bound:
    """The faces of labels as those of tracks of sound.

    Raises:
        InputFailed: there are not as many labels as tracks.
    """
    labels = list(dict.fromkeys(turn.label for turn in turns))
    if len(labels) != count:
        raise InputFailed(
            os.fspath(speakers), f"names {len(labels)} speakers ({', '.join(labels)}), but there are {count} tracks",
            "give one track for each speaker, in the order in which they first speak", stage="speakers",
        )  # fmt: skip
    return Bound({str(labels.index(label)): faces for label, faces in bound.faces.items()})
