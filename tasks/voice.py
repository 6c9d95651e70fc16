"""The dub track as the model hears it: audio tokens for any frames, read and encoded piece by piece."""

from __future__ import annotations

import os

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.speech import FEATURE_RATE, SpeechEncoder, WhisperEncoder, encode_speech, frame_tokens
from storage import media
from tasks.interpolation import articulators

RATE = 16000
HOP_S = 0.02
"""Step of `sound_power` in seconds."""
_BLOCK_S = 10.0


class VoiceTrack:
    """Audio tokens of a file, for frames asked for in rising order of time; holds a few blocks of 10 s at most.

    A block is encoded with the encoder's own margin of sound on both sides, so that the features are those of the whole
    file encoded at once.

    Args:
        path: any file with an audio track; its zero is the timeline's zero.
        encoder: of `models.speech.load_speech_encoder`.
        context: video frames of sound on each side of a frame.
    """

    def __init__(self, path: str | os.PathLike[str], encoder: SpeechEncoder | WhisperEncoder, context: int = 2) -> None:
        self._path, self._encoder, self._context = path, encoder, context
        # A feature depends on the sound within the receptive field; a multiple of 20 ms keeps the feature grid.
        self._margin_s = np.ceil(encoder.margin_s * FEATURE_RATE) / FEATURE_RATE + 2 / FEATURE_RATE
        self._blocks: dict[int, Tensor] = {}

    def tokens(self, pts: NDArray[np.float64]) -> Tensor:
        """float [F,N,D] for the times [F] in seconds."""
        features, start_s = self._features(pts)
        return frame_tokens(features, pts, self._context, start_s=start_s)

    def articulators(self, pts: NDArray[np.float64]) -> NDArray[np.float32] | None:
        """float32 [F,2,6]: what the lips do, as heard, at the times [F] in seconds and 20 ms later.

        None from an encoder that does not tell lips. May be asked ahead of `tokens` by a window of frames.
        """
        features, start_s = self._features(pts)
        return articulators(self._encoder, features, pts, start_s)

    def _features(self, pts: NDArray[np.float64]) -> tuple[Tensor, float]:
        """Features round the times [F], and the time of the first one."""
        reach = (self._context + 1) / 25
        first = int(np.floor((float(pts.min()) - reach) / _BLOCK_S))
        last = int(np.floor((float(pts.max()) + reach) / _BLOCK_S))
        # one block more is kept: a window is asked for after the articulators of its last frame
        for number in [known for known in self._blocks if not first - 1 <= known <= last]:
            del self._blocks[number]
        return torch.cat([self._block(number) for number in range(first, last + 1)]), first * _BLOCK_S

    def _block(self, number: int) -> Tensor:
        if number not in self._blocks:
            start_s = number * _BLOCK_S
            sound = read_padded(self._path, start_s - self._margin_s, start_s + _BLOCK_S + self._margin_s)
            features = encode_speech(self._encoder, sound)
            lead, count = round(self._margin_s * FEATURE_RATE), round(_BLOCK_S * FEATURE_RATE)
            self._blocks[number] = features[lead : lead + count].clone()
        return self._blocks[number]

    def sound(self, start_s: float, end_s: float) -> NDArray[np.float32]:
        """Sound [N] at 16 kHz of a stretch of the track, silence beyond its ends."""
        return read_padded(self._path, start_s, end_s)


def sound_power(path: str | os.PathLike[str], hop_s: float = HOP_S) -> NDArray[np.float64]:
    """Mean square of a file's sound every `hop_s` seconds from the timeline's zero, float64 [M]; read in blocks."""
    rate = 8000  # enough for an envelope
    hop, rest, found = round(hop_s * rate), np.zeros(0, dtype=np.float32), []
    for block in media.iter_audio(path, rate):
        joined = np.concatenate([rest, block])
        count = len(joined) // hop
        found.append((joined[: count * hop].reshape(count, hop).astype(np.float64) ** 2).mean(axis=1))
        rest = joined[count * hop :]
    return np.concatenate(found) if found else np.zeros(0)


def read_padded(path: str | os.PathLike[str], start_s: float, end_s: float) -> NDArray[np.float32]:
    """Sound float32 at 16 kHz from `start_s` to `end_s`; before zero and after the track's end there is silence."""
    lead = max(0, round(-start_s * RATE))
    wanted = max(0, round((end_s - start_s) * RATE))
    sound = np.zeros(0, dtype=np.float32)
    if end_s > 0:
        sound = np.asarray(media.read_audio(path, RATE, max(0.0, start_s), end_s), dtype=np.float32)
    joined = np.concatenate([np.zeros(min(lead, wanted), dtype=np.float32), sound])[:wanted]
    return np.pad(joined, (0, wanted - len(joined)))
