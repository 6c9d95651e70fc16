"""Rows like those of a large library: people who come back, captions as this project writes them, words by Zipf."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.text import load_text
from tasks.caption_template import DEFAULT_TEMPLATE, fill_template

SPEAKERS = 3000
EMOTIONS = ("neutral", "happy", "sad", "angry", "surprised", "fearful", "disgusted", "contempt")
_GAPS = {
    "subject": ("A person", "A woman", "A man"),
    "voice": ("quickly", "slowly", "loudly", "softly", "haltingly", "in a low voice", ""),
    "feeling": (
        "with rising anger", "with deep sadness", "with quiet joy", "with great surprise", "with growing fear",
        "with strong disgust", "with slight contempt", "calmly", "with mild irritation", "with obvious delight",
    ),
    "manner": ("hardly moving the face", "with a lively face", ""),
    "face": ("brows lowered", "brows raised, mouth wide", "lips pressed", "smiling", "eyes narrowed", ""),
    "head": ("head tilted", "head turned away", "nodding", ""),
}  # fmt: skip
_SYLLABLES = (
    "ba",
    "ke",
    "li",
    "mo",
    "nu",
    "ra",
    "se",
    "ti",
    "vo",
    "wa",
    "dren",
    "stal",
    "ver",
    "min",
    "tor",
    "ga",
    "est",
)


def words_of_speech(random: np.random.Generator, size: int = 30_000) -> list[str]:
    """A vocabulary: pseudo-words of one to four syllables, none twice."""
    found: dict[str, None] = {}
    while len(found) < size:
        found["".join(random.choice(_SYLLABLES, random.integers(2, 5)))] = None
    return list(found)


def people(random: np.random.Generator) -> NDArray[np.float32]:
    """Unit faces [SPEAKERS,512]."""
    faces = random.standard_normal((SPEAKERS, 512), np.float32)
    return faces / np.linalg.norm(faces, axis=1, keepdims=True)


def seen_again(faces: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """The same people [N,512] in other pictures: cosine about 0.7 to the first, as recognisers give it."""
    noise = random.standard_normal(faces.shape, np.float32)
    mixed = faces + noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return mixed / np.linalg.norm(mixed, axis=1, keepdims=True)


def clip_rows(count: int, each: int = 5000) -> Iterator[list[dict[str, Any]]]:
    """CLIPS rows with captions, transcripts and both vectors, `each` at a time; always the same."""
    random = np.random.default_rng(6)
    captions = sorted({
        fill_template(DEFAULT_TEMPLATE, {gap: str(random.choice(words)) for gap, words in _GAPS.items()})
        for _ in range(4000)
    })  # fmt: skip
    encoder = load_text()
    meanings = np.concatenate(
        [np.asarray(encoder.encode(captions[at : at + 256])[1]) for at in range(0, len(captions), 256)]
    )
    vocabulary = words_of_speech(random)
    usual = 1.0 / np.arange(1, len(vocabulary) + 1)  # Zipf
    usual /= usual.sum()
    known = people(random)
    for start in range(0, count, each):
        numbers = range(start, min(count, start + each))
        size = len(numbers)
        who = random.integers(0, SPEAKERS, size)
        faces = seen_again(known[who], random)
        said = random.choice(len(captions), size)
        spoken = random.choice(len(vocabulary), (size, 14), p=usual)
        sync = random.gamma(4.0, 1.2, size)
        feeling = random.integers(0, len(EMOTIONS), size)
        status = random.choice(["ok", "rejected", "failed"], size, p=[0.8, 0.19, 0.01])
        yield [
            {
                "clip_id": f"{number * 2654435761 % 2**64:016x}{number:04x}", "dataset": f"set{number % 5}",
                "source_id": f"film{number // 40}", "picture_id": f"film{number // 40}",
                "source_uri": f"/films/season-{number // 4000}/film-{number // 40}.mp4", "start_s": number % 40 * 5.0,
                "end_s": number % 40 * 5.0 + 5.0, "fps": 25.0, "num_frames": 125, "shot": number % 40, "track_id": 0,
                "split": ("train", "train", "train", "val", "test")[number % 5], "speaker": f"speaker{who[i]}",
                "licence": "CC0", "consent": "given", "status": str(status[i]),
                "transcript": " ".join(vocabulary[word] for word in spoken[i]), "language": "en",
                "identity": faces[i], "emotion": EMOTIONS[feeling[i]], "intensity": int(number % 4),
                "caption": captions[said[i]], "caption_source": "model", "caption_embedding": meanings[said[i]],
                "sync_confidence": float(sync[i]), "sync_offset": int(number % 3 - 1), "blur": float(sync[i] * 40),
                "config_hash": "c0ffee", "code_revision": "1.0",
                "loudness_lufs": -23.0, "speech": [0.1, 4.5], "prosody": [0.5] * 10, "emotion_scores": [0.1] * 8,
                "mouth_opening": [0.2] * 125,
            }
            for i, number in enumerate(numbers)
        ]  # fmt: skip
