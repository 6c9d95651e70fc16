"""What somebody feels, as columns of a CLIPS row, and as a text for a dub."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage import media
from tasks.captions import sentence, voice_of
from tasks.emotion import Feeling, face_emotion, join_feelings, units_emotion, voice_emotion
from tasks.experts import Experts
from tasks.speaking import cheapest_path
from tasks.speech import RATE, loudness, prosody
from tasks.studio.controls import EMOTIONS

AUTO = "auto"
"""The emotion of a job that is to be heard from its dub track."""
_PIECE_S, _HOP_S = 4.0, 2.0
_SHORT_S = 8.0
"""A track no longer than this is heard as one: its voice changes less than a recogniser errs."""
_SWITCH = 4.0
"""What a change of the emotion costs, in nats of the recogniser's doubt: three or four pieces must speak for it."""
_QUIET_DB = -50.0
_LONGEST_S = 20.0  # of a stretch that is heard at once


def read_emotion(
    crops: Sequence[NDArray[np.uint8]],
    audio: NDArray[np.float32],
    experts: Experts,
    action_units: NDArray[Any] | None = None,
) -> dict[str, Any]:
    """What face and voice tell: emotion, intensity, emotion_scores float32 [8] and source; nothing where neither can
    be read.

    Args:
        crops: aligned crops uint8 [S,S,3], of which `face_emotion` takes its share; none where no face was cut.
        audio: float32 [N] at 16 kHz; empty where there is no sound.
        action_units: float [T,20] of the clip, as the step before measured them; None: they are not asked.
    Returns:
        source: face, voice, units, or those joined by "+".
    """
    seen = face_emotion(crops, experts.face_emotion) if experts.face_emotion is not None and len(crops) else None
    heard = voice_emotion(audio, experts.voice_emotion) if experts.voice_emotion is not None and len(audio) else None
    shown = units_emotion(action_units) if action_units is not None and len(action_units) else None
    feeling = join_feelings(seen, heard, shown)
    if feeling is None:
        return {}
    return {
        "emotion": feeling.emotion, "intensity": feeling.intensity, "emotion_scores": feeling.probabilities,
        "source": feeling.source,
    }  # fmt: skip


def emotion_heard(audio: NDArray[np.float32], experts: Experts) -> str | None:
    """The caption of a voice float32 [N] at 16 kHz, for `auto`; None without a recogniser for voices."""
    if experts.voice_emotion is None:
        return None
    feeling = voice_emotion(audio, experts.voice_emotion)
    return sentence(feeling.emotion, feeling.intensity, voice=voice_of(prosody(audio)))


def emotions_heard(
    path: str | os.PathLike[str],
    experts: Experts,
    start_s: float = 0.0,
    end_s: float = math.inf,
    intensity: float | None = None,
) -> list[tuple[float, str | None]]:
    """(start in seconds, caption) of a track's voice from `start_s` to `end_s`, as it changes; at least one.

    Heard in pieces of a few seconds, of which the steadiest reading is taken (Viterbi): one strange piece changes
    nothing. Memory does not grow with the track. Without a recogniser for voices: one, without a caption.

    Args:
        intensity: 0 … 3, to be put in place of the one that is heard.

    Raises:
        InputRejected: the file has no sound. InputFailed: it does not decode.
    """
    if experts.voice_emotion is None:
        return [(start_s, None)]
    starts, readings = [], []
    for at_s, piece in _pieces(path, start_s, end_s):
        feeling = voice_emotion(piece, experts.voice_emotion)
        starts.append(at_s)
        # Nothing is known of silence: the recogniser calls it neutral, which it is not.
        readings.append(None if loudness(piece) < _QUIET_DB or feeling.score >= 1.0 else feeling)
    found: list[tuple[float, str | None]] = []
    for first, last in _steady(readings):
        from_s = start_s if first == 0 else starts[first]
        to_s = min(end_s, starts[last] if last < len(starts) else math.inf, from_s + _LONGEST_S)
        sound = media.read_audio(path, RATE, from_s, None if math.isinf(to_s) else to_s)
        heard = [reading for reading in readings[first:last] if reading is not None]
        found.append((from_s, _caption(heard, sound, intensity)))
    return found or [(start_s, None)]


def _caption(heard: Sequence[Feeling], sound: NDArray[np.float32], intensity: float | None) -> str:
    """The caption of a stretch by what was heard in its pieces, and of its sound's manner."""
    if not heard:
        return sentence("neutral", 0)
    shares = np.mean([np.log(np.maximum(one.probabilities, 1e-6)) for one in heard], axis=0)
    emotion = EMOTIONS[int(shares.argmax())]
    levels = [one.intensity for one in heard if one.emotion == emotion] or [2]
    level = float(np.median(levels)) if intensity is None else intensity
    if emotion == "neutral" or round(level) == 0:
        return sentence("neutral", 0, voice=voice_of(prosody(sound)))
    return sentence(emotion, int(np.clip(int(level + 0.5), 1, 3)), voice=voice_of(prosody(sound)))


def _pieces(path: str | os.PathLike[str], start_s: float, end_s: float) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """(start of the time it stands for, sound float32 [N] at 16 kHz) of a track, one piece for every two seconds.

    A piece reaches a second further on both sides; of a short track the whole is one.
    """
    hop, length = round(_HOP_S * RATE), round(_PIECE_S * RATE)
    before = (length - hop) // 2
    held, done = np.zeros(0, np.float32), 0  # `done` samples have left `held`
    given = 0
    for block in media.iter_audio(path, RATE, start_s, None if math.isinf(end_s) else end_s):
        held = np.concatenate([held, block])
        if done == 0 and len(held) <= _SHORT_S * RATE:
            continue
        while done + len(held) >= given + hop + before:
            at = max(0, given - before)
            yield start_s + given / RATE, held[at - done : given + hop + before - done]
            given += hop
            drop = max(0, given - before) - done
            held, done = held[drop:], done + drop
    rest = held[max(0, given - before) - done :]
    if given == 0 or done + len(held) - given >= hop // 2:
        yield start_s + given / RATE, rest


def _steady(readings: Sequence[Feeling | None]) -> list[tuple[int, int]]:
    """(first, last exclusive) of the runs of pieces that are heard as one emotion."""
    if not readings:
        return []
    flat = np.full(len(EMOTIONS), -np.log(len(EMOTIONS)))
    scores = [flat if one is None else np.log(np.maximum(one.probabilities, 1e-3)) for one in readings]
    chosen = cheapest_path(np.stack(scores), np.full(len(readings), _SWITCH))
    edges = np.flatnonzero(np.diff(chosen)) + 1
    return list(zip([0, *edges.tolist()], [*edges.tolist(), len(chosen)], strict=True))
