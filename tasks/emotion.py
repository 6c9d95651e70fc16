"""What somebody feels, read from the face and from the voice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.emotion import EMOTIONS, FaceEmotion, VoiceEmotion
from models.hsemotion import HSEmotion
from models.speech import MEL_FLOOR, log_mel
from tasks.speech import Prosody, prosody

FACE_WEIGHT = 0.75
"""How much the face counts where both were read: it is right far more often than the voice."""


@dataclass(frozen=True)
class Feeling:
    """An emotion of EMOTIONS with its intensity (0 for neutral, else 1..3) and the probabilities float32 [8] behind it.

    source: "face", "voice" or "face+voice".
    """

    emotion: str
    intensity: int
    probabilities: NDArray[np.float32]
    source: str

    @property
    def score(self) -> float:
        """Probability of the emotion."""
        return float(self.probabilities[EMOTIONS.index(self.emotion)])


def _feeling(probabilities: NDArray[Any], intensity: float, source: str) -> Feeling:
    best = int(np.argmax(probabilities))
    level = 0 if best == 0 else int(np.clip(round(intensity), 1, 3))
    return Feeling(EMOTIONS[best], level, probabilities.astype(np.float32), source)


@torch.no_grad()
def face_emotion(crops: Sequence[NDArray[np.uint8]], recogniser: FaceEmotion | HSEmotion, frames: int = 16) -> Feeling:
    """The emotion of a track from aligned crops uint8 [S, S, 3]: `frames` of them, spread evenly; mean log-probability.

    Speech changes the mouth from frame to frame, the emotion stays: so frames vote.
    Raises ValueError without crops.
    """
    if len(crops) == 0:
        raise ValueError("no crops to read an emotion from")
    index = np.unique(np.linspace(0, len(crops) - 1, frames).round().astype(int))
    batch = torch.from_numpy(np.stack([crops[i] for i in index])).permute(0, 3, 1, 2)
    logits, intensity = recogniser(batch.to(recogniser.device, recogniser.dtype) / 255)
    share = logits.log_softmax(-1).mean(0).softmax(-1)
    return _feeling(share.float().cpu().numpy(), float(intensity.mean()), "face")


def voice_inputs(audio: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32], Prosody]:
    """What `VoiceEmotion` takes, of audio float [N] at 16 kHz: prosody [10], spectrum [160]; and the prosody itself."""
    measured = prosody(audio)
    mel = log_mel(np.asarray(audio, np.float32))
    heard = mel[:, mel.max(axis=0) > MEL_FLOOR + 0.35] if mel.shape[1] else mel
    if heard.shape[1] < 2:
        return measured.vector(), np.zeros(160, np.float32), measured
    return measured.vector(), np.concatenate([heard.mean(axis=1), heard.std(axis=1)]).astype(np.float32), measured


@torch.no_grad()
def voice_emotion(audio: NDArray[Any], recogniser: VoiceEmotion) -> Feeling:
    """The emotion of a voice, float [N] at 16 kHz; two seconds or more are wise. Silence is neutral."""
    vector, spectrum, measured = voice_inputs(audio)
    if measured.voiced == 0:
        return _feeling(np.eye(len(EMOTIONS))[0], 0, "voice")
    device = recogniser.device
    logits, intensity = recogniser(
        torch.from_numpy(vector)[None].to(device), torch.from_numpy(spectrum)[None].to(device)
    )
    return _feeling(logits.softmax(-1)[0].float().cpu().numpy(), float(intensity[0]), "voice")


def join_feelings(face: Feeling | None, voice: Feeling | None) -> Feeling | None:
    """One feeling from both; None where neither could be read."""
    if face is None or voice is None:
        return face or voice
    logs = FACE_WEIGHT * np.log(face.probabilities + 1e-6) + (1 - FACE_WEIGHT) * np.log(voice.probabilities + 1e-6)
    share = np.exp(logs - logs.max())
    intensity = FACE_WEIGHT * face.intensity + (1 - FACE_WEIGHT) * voice.intensity
    return _feeling(share / share.sum(), intensity, "face+voice")
