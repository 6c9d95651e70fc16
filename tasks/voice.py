"""The dub track as the model hears it: audio tokens for any frames, read and encoded piece by piece."""

from __future__ import annotations

import os

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.speech import FEATURE_RATE, Ends, SpeechEncoder, WhisperEncoder, encode_speech, frame_tokens
from storage import media
from tasks.interpolation import articulators

RATE = 16000
HOP_S = 0.02
"""Step of `sound_power` in seconds."""
_BLOCK = 500  # features: 10 s

ENDS: dict[str, Ends] = {"latentsync": "repeat", "musetalk": "zeros"}
"""What bases of these kinds were given where their windows of sound reach beyond the ends of a track."""


class VoiceTrack:
    """Audio tokens of a file, for frames asked for in rising order of time; holds a few blocks of sound at most.

    A block is encoded with the encoder's own margin of sound on both sides, so that the features are those of the whole
    file encoded at once. A block and its margins fill a whisper checkpoint's context, which costs the same however much
    of it is sound.

    Args:
        path: any file with an audio track; its zero is the timeline's zero.
        encoder: of `models.speech.load_speech_encoder`.
        context: video frames of sound on each side of a frame.
        ends: what a frame at the track's first or last moment hears beyond it: the last feature again, zeros, or (None)
            the silence that frames after the track hear in any case.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        encoder: SpeechEncoder | WhisperEncoder,
        context: int = 2,
        ends: Ends | None = None,
    ) -> None:
        self._path, self._encoder, self._context, self._ends = path, encoder, context, ends
        # A feature depends on the sound within the receptive field; a multiple of 20 ms keeps the feature grid.
        self._margin = int(np.ceil(encoder.margin_s * FEATURE_RATE)) + 2
        self._length = _BLOCK
        if isinstance(encoder, WhisperEncoder):
            self._length = max(FEATURE_RATE, encoder.context // 2 - 2 * self._margin)
        self._count = int(np.ceil(_end_s(path) * FEATURE_RATE - 1e-3)) if ends else 0
        self._blocks: dict[int, Tensor] = {}

    def tokens(self, pts: NDArray[np.float64]) -> Tensor:
        """float [F,N,D] for the times [F] in seconds."""
        features, start = self._features(pts)
        features = self._ended(features, start)
        return frame_tokens(features, pts, self._context, start / FEATURE_RATE, self._ends or "repeat")

    def articulators(self, pts: NDArray[np.float64]) -> NDArray[np.float32] | None:
        """float32 [F,2,6]: what the lips do, as heard, at the times [F] in seconds and 20 ms later.

        None from an encoder that does not tell lips. May be asked ahead of `tokens` by a window of frames.
        """
        features, start = self._features(pts)
        return articulators(self._encoder, features, pts, start / FEATURE_RATE)

    def _features(self, pts: NDArray[np.float64]) -> tuple[Tensor, int]:
        """Features round the times [F], and the number of the first one."""
        reach, length_s = (self._context + 1) / 25, self._length / FEATURE_RATE
        first = int(np.floor((float(pts.min()) - reach) / length_s))
        last = int(np.floor((float(pts.max()) + reach) / length_s))
        if self._ends:
            first, last = max(0, first), max(0, last)
        # one block more is kept: a window is asked for after the articulators of its last frame
        for number in [known for known in self._blocks if not first - 1 <= known <= last]:
            del self._blocks[number]
        return torch.cat([self._block(number) for number in range(first, last + 1)]), first * self._length

    def _ended(self, features: Tensor, start: int) -> Tensor:
        """`features`, the first of which is number `start`, with what frames near the track's end hear beyond it."""
        first, last = self._count - start, self._count - start + 2 * self._context + 2
        if not self._ends or self._count < 1 or last <= 0 or first >= len(features):
            return features
        number, place = divmod(self._count - 1, self._length)
        held = self._block(number)[place] if self._ends == "repeat" else torch.zeros_like(features[0])
        features = features.clone()
        features[max(first, 0) : last] = held
        return features

    def _block(self, number: int) -> Tensor:
        if number not in self._blocks:
            start = number * self._length
            lead = min(self._margin, start) if self._ends else self._margin
            first_s, last_s = (start - lead) / FEATURE_RATE, (start + self._length + self._margin) / FEATURE_RATE
            features = encode_speech(self._encoder, read_padded(self._path, first_s, last_s))
            self._blocks[number] = features[lead : lead + self._length].clone()
        return self._blocks[number]

    def sound(self, start_s: float, end_s: float) -> NDArray[np.float32]:
        """Sound [N] at 16 kHz of a stretch of the track, silence beyond its ends."""
        return read_padded(self._path, start_s, end_s)


def _end_s(path: str | os.PathLike[str]) -> float:
    """Where a file's sound ends, in seconds of its timeline."""
    info = media.probe(path, need_video=False, need_audio=True)
    track = info.audio[0]
    return track.start_s + track.duration_s if track.duration_s > 0 else info.start_s + info.duration_s


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
