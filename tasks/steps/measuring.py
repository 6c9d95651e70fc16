"""The steps that look at one clip by itself: lips against sound, the sound, action units, emotion, caption."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from models.speech import log_mel
from models.syncnet import measure_lips
from storage import media
from storage.errors import InputRejected
from tasks.config import Config
from tasks.experts import Experts
from tasks.feelings import describe_clip
from tasks.steps.step import Clip
from tasks.voice import read_padded

SYNC_FIELDS = ("sync_confidence", "sync_offset", "sync_distance")
SOUND_FIELDS = ("audio", "mel", "mel_frames")
UNIT_FIELDS = ("action_units",)
EMOTION_FIELDS = ("emotion_scores",)
CAPTION_FIELDS = ("emotion", "intensity", "caption", "caption_source", "caption_embedding")
FRAME_S = 1 / 25
"""Offsets of sound count in frames of this length."""


def sync(clip: Clip, config: Config, experts: Experts) -> dict[str, Any]:
    """How well lips and sound fit, and by how much the sound lags."""
    expert, limit = experts.sync, config.preprocess.max_sync_offset
    if expert is None:
        return {}
    margin_s = limit * FRAME_S + 0.2
    start_s = float(clip["start_s"]) - margin_s
    around = read_padded(clip.source.sound, start_s, float(clip["end_s"]) + margin_s)
    try:
        found = measure_lips(clip.pictures, clip["pts"], around, expert, limit, start_s)
    except ValueError as error:
        raise InputRejected(
            "sync", "sync_confidence", 0.0, config.preprocess.min_sync_confidence, "",
            "give footage with speech", reason=str(error),
        ) from error  # fmt: skip
    return {"sync_confidence": found.confidence, "sync_offset": found.offset_frames, "sync_distance": found.distance}


def sound(clip: Clip, config: Config, experts: Experts) -> dict[str, Any]:
    """The clip's sound, taken where it fits the lips, and its log-mel."""
    shift_s = (clip["sync_correction"] or 0) * FRAME_S
    start_s, end_s = float(clip["start_s"]) + shift_s, float(clip["end_s"]) + shift_s
    audio = media.read_audio(clip.source.sound, config.audio.rate, start_s, end_s)
    mel = log_mel(audio)
    pcm = np.round(np.clip(audio, -1, 1) * 32767).astype("<i2")
    return {"audio": pcm.tobytes(), "mel": mel.astype(np.float16).tobytes(), "mel_frames": int(mel.shape[1])}


def action_units(clip: Clip, config: Config, experts: Experts) -> dict[str, Any]:
    """Action units of every frame, where there is a reader."""
    reader = experts.action_units
    if reader is None:
        return {}
    return {"action_units": reader.read(torch.from_numpy(clip.pictures).permute(0, 3, 1, 2)).numpy()}


def caption(clip: Clip, config: Config, experts: Experts) -> dict[str, Any]:
    """The emotion, in words and as a vector."""
    source = clip.source
    opening = clip["mouth_opening"]
    pcm = np.frombuffer(clip["audio"], "<i2").astype(np.float32) / 32767
    return describe_clip(
        source.emotion, source.intensity, source.caption, clip.pictures, pcm, clip["kps"], clip["pts"],
        np.full(int(clip["num_frames"]), np.nan) if opening is None else opening, experts,
    )  # fmt: skip
