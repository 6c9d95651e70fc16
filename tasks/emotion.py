"""What somebody feels, read from the face, from its action units, and from the voice."""

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
from models.text import ANCHORS
from tasks.speech import Prosody, prosody
from tasks.studio.acting import SPEAKING_GAIN
from tasks.studio.controls import AUS, emotion_aus

FACE_WEIGHT, VOICE_WEIGHT, UNITS_WEIGHT = 0.6, 0.2, 0.2
"""How much face, voice and action units count, over the sum of those that were read. The face is right far more often
than the voice; found on 352 clips of people nobody was trained on (and no exam shows): right in 0.80 by the face alone,
0.81 with the voice, 0.84 with the action units beside."""
UNIT_SPREAD = 0.28
"""How far action units lie from an emotion's prototype (standard deviation): of the reader, and of people."""
_PROTOTYPES = np.stack([emotion_aus(*anchor) for anchor in ANCHORS]) * np.array(
    [SPEAKING_GAIN.get(name, 1.0) for name in AUS], np.float64
)
_TELLING_UNITS = np.array([name not in ("AU25", "AU26", "AU43L", "AU43R") for name in AUS])


@dataclass(frozen=True)
class Feeling:
    """An emotion of EMOTIONS with its intensity (0 for neutral, else 1..3) and the probabilities float32 [8] behind it.

    source: "face", "voice", "units", or those of them that were joined: "face+voice+units".
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


def units_emotion(action_units: NDArray[Any]) -> Feeling:
    """The emotion whose prototype (EMFACS, as the studio acts it) lies nearest to action units float [T, 20] in 0..1.

    Medians over the clip; what speech moves by itself (AU25, AU26) and blinks (AU43) do not count, and units of the
    lips are expected weaker than in a face at rest. Raises ValueError without frames.
    """
    if len(action_units) == 0:
        raise ValueError("no action units to read an emotion from")
    middle = np.median(np.asarray(action_units, np.float64), axis=0)
    apart = (((middle - _PROTOTYPES) / UNIT_SPREAD) ** 2)[:, _TELLING_UNITS].sum(axis=1)
    fits = np.exp(-0.5 * (apart - apart.min()))
    share = np.array([fits[[e == emotion for e, _ in ANCHORS]].mean() for emotion in EMOTIONS]) + 1e-6
    nearest = int(np.argmax(fits))
    return _feeling(share / share.sum(), ANCHORS[nearest][1], "units")


def join_feelings(face: Feeling | None, voice: Feeling | None, units: Feeling | None = None) -> Feeling | None:
    """One feeling from those that were read; None where nothing was. The intensity is that of face and voice."""
    read = [
        (feeling, weight)
        for feeling, weight in ((face, FACE_WEIGHT), (voice, VOICE_WEIGHT), (units, UNITS_WEIGHT))
        if feeling is not None
    ]
    if len(read) < 2:
        return read[0][0] if read else None
    total = sum(weight for _, weight in read)
    logs = np.sum([weight / total * np.log(feeling.probabilities + 1e-6) for feeling, weight in read], axis=0)
    share = np.exp(logs - logs.max())
    seen = [(feeling, weight) for feeling, weight in read if feeling is not units] or read
    strength = sum(weight * feeling.intensity for feeling, weight in seen) / sum(weight for _, weight in seen)
    return _feeling(share / share.sum(), strength, "+".join(feeling.source for feeling, _ in read))
