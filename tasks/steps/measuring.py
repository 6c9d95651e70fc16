"""The steps that look at one clip by itself: voice, lips and sound, sound, words, action units, emotion, caption."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.speech import log_mel
from models.sync import FPS
from storage.errors import InputRejected
from tasks.caption_writing import write_caption
from tasks.config import Config
from tasks.duplicates import fingerprint as fingerprint_of
from tasks.experts import Experts
from tasks.feelings import read_emotion
from tasks.lip_sync import corrected_start, find_sync, reach_s, see_lips
from tasks.quality import head_pose
from tasks.speech import Prosody, loudness_lufs, prosody, share_of, voice_activity
from tasks.steps.step import Clip
from tasks.transcripts import read_words
from tasks.voice import read_padded

VOICE_FIELDS = ("voice_spans",)
FINGERPRINT_FIELDS = ("fingerprint",)
SYNC_FIELDS = (
    "sync_confidence", "sync_offset", "sync_distance", "sync_sure", "sync_margin", "sync_heard", "sync_windows",
    "sync_between", "sync_unrelated", "sync_curve", "sync_mass", "sync_table", "lips_start_s", "lips_lead", "lips_size",
)  # fmt: skip
SOUND_FIELDS = (
    "audio", "mel", "mel_frames", "loudness_lufs", "speech", "speech_share", "prosody",
)  # fmt: skip
WORDS_FIELDS = ("transcript", "language", "speech_features", "speech_width")
UNIT_FIELDS = ("action_units",)
EMOTION_FIELDS = ("read_emotion", "read_intensity", "emotion_scores")
CAPTION_FIELDS = ("emotion", "intensity", "caption", "caption_source", "caption_embedding")
_VOICE_REACH_S = 1.0
"""Sound heard before and after a clip, and after a correction: a detector of voices needs a moment to be sure."""


def voice(clip: Clip, config: Config, experts: Experts) -> dict[str, Any]:
    """Where somebody speaks, in seconds of the source's sound, in and around the clip."""
    reach_s_ = _VOICE_REACH_S + config.preprocess.max_sync_offset / FPS
    start_s = float(clip["start_s"]) - reach_s_
    around = read_padded(clip.source.sound, start_s, float(clip["end_s"]) + reach_s_)
    spans = np.asarray(voice_activity(around), np.float64).reshape(-1)
    return {"voice_spans": spans + start_s}


def fingerprint(clip: Clip, config: Config, experts: Experts) -> dict[str, Any]:
    """What tells the clip from all that are not the same take."""
    audio = read_padded(clip.source.sound, float(clip["start_s"]), float(clip["end_s"]))
    return {"fingerprint": fingerprint_of(clip.pictures, clip["pts"], clip["kps"], audio)}


def sync(clip: Clip, config: Config, experts: Experts) -> dict[str, Any]:
    """How well lips and sound fit at every offset, and by how much the sound lags."""
    expert, limit = experts.sync, config.preprocess.max_sync_offset
    if expert is None:
        return {}
    reach = reach_s(expert, limit)
    start_s = float(clip["start_s"]) - reach
    around = read_padded(clip.source.sound, start_s, float(clip["end_s"]) + reach)
    try:
        lips = see_lips(np.stack(clip.pictures), clip["pts"], expert)
        found = find_sync(lips, clip["pts"], around, start_s, expert, limit)
    except ValueError as error:
        raise InputRejected(
            "sync", "sync_confidence", 0.0, config.preprocess.min_sync_confidence, "",
            "give footage with speech", reason=str(error),
        ) from error  # fmt: skip
    return {
        "sync_confidence": found.confidence, "sync_offset": found.offset_frames, "sync_distance": found.distance,
        "sync_sure": found.sure, "sync_margin": found.margin, "sync_heard": found.heard,
        "sync_windows": found.windows, "sync_between": found.residual, "sync_unrelated": found.unrelated,
        "sync_curve": found.curve, "sync_mass": found.mass, "sync_table": found.table.astype(np.float32),
        "lips_start_s": lips.start_s, "lips_lead": lips.lead, "lips_size": lips.size,
    }  # fmt: skip


def sound(clip: Clip, config: Config, experts: Experts) -> dict[str, Any]:
    """The clip's sound, taken where it fits the lips: samples, log-mel, loudness, stretches of speech, prosody."""
    length_s = float(clip["end_s"]) - float(clip["start_s"])
    start_s = corrected_start(float(clip["start_s"]), int(clip["sync_correction"] or 0))
    audio = read_padded(clip.source.sound, start_s, start_s + length_s)
    mel = log_mel(audio)
    pcm = np.round(np.clip(audio, -1, 1) * 32767).astype("<i2")
    spans = clipped(clip["voice_spans"], start_s, length_s)
    return {
        "audio": pcm.tobytes(), "mel": mel.astype(np.float16).tobytes(), "mel_frames": int(mel.shape[1]),
        "loudness_lufs": loudness_lufs(audio), "speech": np.asarray(spans, np.float32).reshape(-1),
        "speech_share": share_of(spans, length_s), "prosody": np.asarray(astuple(prosody(audio)), np.float32),
    }  # fmt: skip


def clipped(spans: NDArray[np.float64] | None, start_s: float, length_s: float) -> list[tuple[float, float]]:
    """Flat stretches (start, end, start, …) in seconds of the source, as pairs within a clip."""
    pairs = np.zeros((0, 2)) if spans is None else np.clip(np.reshape(spans, (-1, 2)) - start_s, 0.0, length_s)
    return [(float(start), float(end)) for start, end in pairs if end - start > 1e-6]


def words(clip: Clip, config: Config, experts: Experts) -> dict[str, Any]:
    """What is said, and what whisper's encoder hears, where a checkpoint is configured."""
    return read_words(heard(clip), experts.transcriber, clip.source.text, speaks=bool(clip["speech_share"]))


def action_units(clip: Clip, config: Config, experts: Experts) -> dict[str, Any]:
    """Action units of every frame, where there is a reader."""
    reader = experts.action_units
    if reader is None:
        return {}
    return {"action_units": reader.read(torch.from_numpy(np.stack(clip.pictures)).permute(0, 3, 1, 2)).numpy()}


def emotion(clip: Clip, config: Config, experts: Experts) -> dict[str, Any]:
    """What face and voice tell of the feeling."""
    found = read_emotion(clip.pictures, heard(clip), experts, clip["action_units"])
    return {} if not found else {
        "read_emotion": found["emotion"], "read_intensity": found["intensity"],
        "emotion_scores": np.asarray(found["emotion_scores"], np.float32),
    }  # fmt: skip


def caption(clip: Clip, config: Config, experts: Experts) -> dict[str, Any]:
    """The feeling in words and as a vector: as its corpus says, as a model says, or as it was measured."""
    source, opening, units = clip.source, clip["mouth_opening"], clip["action_units"]
    reading = None if clip["read_emotion"] is None else {
        "emotion": clip["read_emotion"], "intensity": clip["read_intensity"], "emotion_scores": clip["emotion_scores"],
    }  # fmt: skip
    labels = {name: getattr(source, name) for name in ("emotion", "intensity", "caption", "gender")}
    measured = clip["prosody"]
    found = write_caption(
        reading, None if measured is None else Prosody(*map(float, measured)), head_pose(clip["kps"]), clip["pts"],
        np.full(int(clip["num_frames"]), np.nan) if opening is None else opening, units, labels, config.captions,
        experts, clip.pictures if experts.captioner is not None else [],
    )  # fmt: skip
    return {name: value for name, value in found.items() if name in CAPTION_FIELDS}


def heard(clip: Clip) -> NDArray[np.float32]:
    """The clip's sound float32 [N] at 16 kHz, as the step `sound` kept it."""
    return np.asarray(np.frombuffer(clip["audio"], "<i2") / 32767, np.float32)
