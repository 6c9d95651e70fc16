"""Stage "align": one space for emotion texts and pictures of people who feel so, `models.emotion_control.EmotionSpace`.

Text side: the text encoder's reading of captions, labels and idioms. Image side: who it is and what the face shows.
Between two pictures of one emotion the person differs, and between two of one person the emotion, so that the contrast
(InfoNCE, `models.losses.info_nce`) leaves the emotion.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.emotion import EMOTIONS, FaceEmotion, image_features, load_face_emotion
from models.emotion_control import EmotionSpace
from models.faces import FaceAnalyzer
from models.losses import info_nce
from models.saving import save_model
from models.text import TextEncoder, load_text
from tasks.captions import HEADS, MANNERS, VOICES, sentence
from tasks.training.expert_loop import Budget, train_expert
from tasks.training.expressions import STATES, Expressions, read_expressions
from tasks.training.phrases_weaver import Weaver

STEPS = 800
TEXTS = 6000
IDENTITY = 512
"""Width of a face embedding."""
LEVEL_WEIGHT = 0.4
"""How much it counts that intensities are told apart, beside the emotions."""


def train_align(
    out_dir: Path,
    expressions: Path,
    steps: int | None = None,
    minutes: float | None = None,
    batch_size: int = 96,
    device: str = "cpu",
    seed: int = 0,
    text: str | Path = "studio",
    emotion: str | Path = "studio",
    pack: str | Path | None = "studio",
    texts: int = TEXTS,
) -> dict[str, float]:
    """Train the space on the people of `expressions` that are not held out, and save it into `out_dir`.

    Args:
        expressions: what tasks/training/expressions.py rendered.
        text, emotion, pack: the text encoder, the face recogniser and the face pack that look at texts and pictures;
            without a pack it is not known who the people are.
        texts: written to train on.

    Returns what `train_expert` does, and `retrieval` on the people held out.
    """
    steps = STEPS if steps is None and minutes is None else steps
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    encoder, recogniser = load_text(text), load_face_emotion(emotion)
    known, unknown = read_expressions(expressions).split()
    analyzer = None if pack is None else FaceAnalyzer(pack)
    pictures = picture_features(known, recogniser, analyzer)
    bank = text_bank(encoder, texts, seed)
    states = _states(known)
    rows = [np.flatnonzero(known.emotion == emotion) for emotion in np.unique(known.emotion)]
    space = EmotionSpace(text_dim=encoder.width, image_dim=pictures.shape[1]).to(device)

    def loss_of_batch(progress: float) -> tuple[Tensor, dict[str, float]]:
        index = np.array([rng.choice(rows[rng.integers(len(rows))]) for _ in range(batch_size)])
        said = torch.stack([bank[s][int(rng.integers(len(bank[s])))] for s in states[index]]).to(device)
        seen = pictures[index].to(device) + 0.02 * torch.randn(batch_size, pictures.shape[1], device=device)
        seen[:, :IDENTITY] *= (torch.rand(batch_size, 1, device=device) > 0.2).float()  # it may not be known
        first, second, scale = space(said, seen)
        feeling = torch.from_numpy(known.emotion[index]).to(device)
        state = torch.from_numpy(states[index]).to(device)
        broad, fine = info_nce(first, second, scale, feeling), info_nce(first, second, scale, state)
        return broad + LEVEL_WEIGHT * fine, {"emotion": broad.item(), "state": fine.item()}

    metrics = train_expert(space, loss_of_batch, Budget(steps, minutes), 1e-3)
    space.to("cpu")
    out_dir.mkdir(parents=True, exist_ok=True)
    measured = retrieval(space, encoder, picture_features(unknown, recogniser, analyzer), unknown, seed)
    save_model(space.half(), out_dir)
    return metrics | measured


def _states(shown: Expressions) -> NDArray[np.int64]:
    """The number in STATES of each row, int64 [N]."""
    number = {(EMOTIONS.index(emotion), level): i for i, (emotion, level) in enumerate(STATES)}
    return np.array([number[int(e), int(i)] for e, i in zip(shown.emotion, shown.intensity, strict=True)], np.int64)


@torch.no_grad()
def picture_features(shown: Expressions, recogniser: FaceEmotion, analyzer: FaceAnalyzer | None) -> Tensor:
    """Image features float32 [N,512 + W] of crops; the identity of each person is the mean over the person's crops."""
    identity = np.zeros((len(shown), IDENTITY), np.float32)
    for person in np.unique(shown.identity) if analyzer is not None else ():
        rows = np.flatnonzero(shown.identity == person)
        if (mean := _mean_identity([(shown.crops[i], shown.kps[i]) for i in rows[::4]], analyzer)) is not None:
            identity[rows] = mean
    parts = []
    for start in range(0, len(shown), 128):
        part = slice(start, start + 128)
        crops = torch.from_numpy(np.ascontiguousarray(shown.crops[part])).permute(0, 3, 1, 2).float() / 255
        parts.append(image_features(torch.from_numpy(identity[part]), crops, recogniser))
    return torch.cat(parts)


def _mean_identity(
    views: Sequence[tuple[NDArray[np.uint8], NDArray[np.float32]]], analyzer: FaceAnalyzer | None
) -> NDArray[np.float32] | None:
    found = [analyzer.embed(np.ascontiguousarray(crop), kps) for crop, kps in views] if analyzer is not None else []
    known = [embedding for embedding in found if embedding is not None]
    if not known:
        return None
    mean = np.mean(known, axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)


def text_bank(encoder: TextEncoder, count: int, seed: int) -> list[Tensor]:
    """Pooled embeddings [K,width] of training texts, by the number of their state in STATES."""
    weaver = Weaver(seed)
    examples = [weaver.example() for _ in range(count)]
    pooled = torch.cat([encoder.encode([e.text for e in examples[i : i + 256]])[1] for i in range(0, count, 256)])
    state = np.array([STATES.index((example.emotion, example.intensity)) for example in examples])
    bank = [pooled[torch.from_numpy(np.flatnonzero(state == number))] for number in range(len(STATES))]
    for number, (emotion, level) in enumerate(STATES):
        if not len(bank[number]):
            bank[number] = encoder.encode([sentence(emotion, level)])[1]
    return bank


@torch.no_grad()
def retrieval(
    space: EmotionSpace, encoder: TextEncoder, pictures: Tensor, shown: Expressions, seed: int = 0, tries: int = 8
) -> dict[str, float]:
    """R@1 among eight on people that were held out and are shown in every emotion; chance is 0.125.

    image_to_text: of eight captions, one an emotion, the nearest is that of the picture's. text_to_image: of eight
    pictures of one person, one an emotion, the nearest is the caption's. Captions are written anew `tries` times.
    …_clear: pictures and captions of intensity 3 (and neutral); the others: of any intensity.
    r_at_1: the mean of both directions at intensity 3.
    """
    rng = np.random.default_rng([seed, 1])
    seen = space.embed_image(pictures)
    right: dict[str, list[float]] = {}
    people = [person for person in np.unique(shown.identity) if _complete(shown.of(shown.identity == person))]
    for _ in range(tries):
        for suffix, levels in (("_clear", (3,)), ("", (1, 2, 3))):
            chosen = [0 if emotion == "neutral" else int(rng.choice(levels)) for emotion in EMOTIONS]
            said = space.embed_text(encoder.encode(_captions(chosen, rng))[1])
            for person in people:
                rows = [_row(shown, int(person), number, levels, rng) for number in range(len(EMOTIONS))]
                near = said @ seen[torch.tensor(rows)].T  # [emotion said, emotion shown]
                truth = torch.arange(len(EMOTIONS))
                right.setdefault(f"image_to_text{suffix}", []).append((near.argmax(0) == truth).float().mean().item())
                right.setdefault(f"text_to_image{suffix}", []).append((near.argmax(1) == truth).float().mean().item())
    means = {name: float(np.mean(values)) for name, values in right.items()}
    return means | {"r_at_1": (means["image_to_text_clear"] + means["text_to_image_clear"]) / 2}


def _captions(levels: Sequence[int], rng: np.random.Generator) -> list[str]:
    """A caption for each emotion at its intensity, with manner, head and voice as they come."""
    return [
        sentence(
            emotion,
            level,
            manner=str(rng.choice(list(MANNERS))),
            head=str(rng.choice(list(HEADS))),
            voice=str(rng.choice(list(VOICES))),
            rng=rng,
        )
        for emotion, level in zip(EMOTIONS, levels, strict=True)
    ]


def _complete(shown: Expressions) -> bool:
    """Whether somebody is shown in every emotion and intensity; there are people of whom there are but a few."""
    return len(np.unique(_states(shown))) == len(STATES)


def _row(shown: Expressions, person: int, emotion: int, levels: Sequence[int], rng: np.random.Generator) -> int:
    fits = (shown.identity == person) & (shown.emotion == emotion)
    if emotion:
        fits &= np.isin(shown.intensity, levels)
    return int(rng.choice(np.flatnonzero(fits)))
