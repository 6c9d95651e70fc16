"""The emotion of a clip, in words and as a vector: what its manifest says, else what face and voice tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.captions import caption_label, caption_measured, head_of, manner_of, voice_of
from tasks.emotion import face_emotion, join_feelings, voice_emotion
from tasks.experts import Experts
from tasks.quality import head_pose
from tasks.speech import prosody
from tasks.studio.controls import EMOTIONS

AUTO = "auto"
"""The emotion of a job that is to be heard from its dub track."""


def describe_clip(
    emotion: str | None,
    intensity: int | None,
    caption: str | None,
    crops: Sequence[NDArray[np.uint8]],
    audio: NDArray[np.float32],
    kps: NDArray,
    pts: NDArray,
    opening: NDArray,
    experts: Experts,
) -> dict[str, Any]:
    """The columns emotion, intensity, caption, caption_source, caption_embedding of a CLIPS row.

    Args:
        emotion, intensity, caption: what corpus or manifest say, None where they are silent; free words are read.
        crops: aligned crops uint8 [S,S,3]; a few of the clip do.
        audio: float32 [N] at 16 kHz.
        kps: [T,5,2]; pts: [T] seconds; opening: [T] of the mouth, NaN where it was not measured.
    """
    manner, head, voice = manner_of(opening), head_of(head_pose(kps), pts), voice_of(prosody(audio))
    if emotion in EMOTIONS:
        said = caption_label(str(emotion), intensity, manner, head, voice)
        found: dict[str, Any] = {"emotion": said.emotion, "intensity": said.intensity}
        found |= {"caption": caption or said.text, "caption_source": said.source}
    elif emotion or caption:
        text = caption or str(emotion)
        found = {"emotion": None, "caption": text, "caption_source": "label"}
        if experts.text is not None:
            reading = experts.text.emotion_of(emotion or text)
            found |= {"emotion": reading.emotion, "intensity": reading.intensity}
    else:
        seen = face_emotion(crops, experts.face_emotion) if experts.face_emotion is not None and len(crops) else None
        heard = voice_emotion(audio, experts.voice_emotion) if experts.voice_emotion is not None else None
        feeling = join_feelings(seen, heard)
        if feeling is None:
            return {}
        read = caption_measured(feeling, manner, head, voice)
        found = {"emotion": read.emotion, "intensity": read.intensity, "caption": read.text}
        found["caption_source"] = read.source
    if experts.text is not None:
        found["caption_embedding"] = experts.text.encode([found["caption"]])[1][0].numpy()
    return found


def emotion_heard(audio: NDArray[np.float32], experts: Experts) -> str | None:
    """The caption of a voice float32 [N] at 16 kHz, for `auto`; None without a recogniser for voices."""
    if experts.voice_emotion is None:
        return None
    feeling = voice_emotion(audio, experts.voice_emotion)
    return caption_measured(feeling, voice=voice_of(prosody(audio))).text
