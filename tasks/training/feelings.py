"""Emotion texts for training clips: their own captions, and others that say the same in other words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.emotion import EMOTIONS
from models.text import TextEncoder
from tasks.training.align import text_bank
from tasks.training.expressions import STATES

CAPTION = 0.3
"""Share of the samples that are given the clip's own caption, where it has one."""
TEXTS = 3000


class Feelings:
    """Pooled text embeddings [Dt] for what clips show.

    Args:
        encoder: reads the texts, once.
        moods: emotion (index into EMOTIONS) and intensity of each clip.
        captions: of each clip, may be empty.
        seed: of the texts.
    """

    def __init__(
        self, encoder: TextEncoder, moods: Sequence[tuple[int, int]], captions: Sequence[str], seed: int = 0
    ) -> None:
        self._bank = text_bank(encoder, TEXTS, seed)
        self._states = [_state(emotion, intensity) for emotion, intensity in moods]
        known = sorted({caption for caption in captions if caption})
        parts = [encoder.encode(known[start : start + 128])[1] for start in range(0, len(known), 128)]
        table = dict(zip(known, torch.cat(parts), strict=True)) if known else {}
        self._captions = [table.get(caption) for caption in captions]

    def draw(self, clip: int, rng: np.random.Generator) -> Tensor:
        """A text for clip number `clip`."""
        own, others = self._captions[clip], self._bank[self._states[clip]]
        chance, place = rng.random(), int(rng.integers(len(others)))
        return own if own is not None and chance < CAPTION else others[place]


def _state(emotion: int, intensity: int) -> int:
    """The number in STATES; an emotion of unknown intensity is taken as a middling one."""
    name = EMOTIONS[emotion]
    return STATES.index((name, 0) if name == "neutral" else (name, intensity or 2))
