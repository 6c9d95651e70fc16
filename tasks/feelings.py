"""What somebody feels, as columns of a CLIPS row, and as a text for a dub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.captions import sentence, voice_of
from tasks.emotion import face_emotion, join_feelings, units_emotion, voice_emotion
from tasks.experts import Experts
from tasks.speech import prosody

AUTO = "auto"
"""The emotion of a job that is to be heard from its dub track."""


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
