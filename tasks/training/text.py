"""Trains the studio's emotion text encoder: BPE, a small CLIP text model, and the anchors that read emotions.

No captions from the outside are needed: tasks/training/phrases.py says how people write about feelings,
tasks/captions.py how the pipeline does, and this module weaves both into texts whose attributes are known. Two texts
should lie as close as their attributes agree, so the loss is an InfoNCE (van den Oord et al., 2018; CLIP) with soft
targets, beside the cross-entropy over the learned anchors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.text import ANCHORS, EMOTIONS, build_text, load_text, save_text
from tasks.captions import HEADS, MANNERS, VOICES, sentence
from tasks.training import phrases
from tasks.training import phrases_patterns as patterns
from tasks.training.expert_loop import Budget, train_expert
from tasks.training.phrases_lexicon import Entry, fill, lexicon
from tasks.training.phrases_words import verb_form

STEPS = 2000
"""What the shipped encoder took, where neither steps nor minutes are given."""
VOCABULARY, TOKENIZER_TEXTS = 2560, 20_000
"""Word pieces, and the woven texts that they are learned from."""
_SAME_EMOTION, _SAME_INTENSITY, _SAME_DETAIL = 0.55, 0.21, 0.08


@dataclass(frozen=True)
class Example:
    """A text with the attributes it asks for."""

    text: str
    emotion: str
    intensity: int
    manner: str = "plain"
    head: str = "steady"
    voice: str = "even"


def _split(text: str, separator: str) -> list[str]:
    return [part.strip() for part in text.split(separator)] if text else []


class Weaver:
    """Writes random texts whose attributes are known.

    Args:
        seed: of the random choices.
        held_out: share of the lexicon's entries of each kind, emotion and intensity that is never used; see `unseen`.
    """

    def __init__(self, seed: int = 0, held_out: float = 0.0) -> None:
        self.rng = np.random.default_rng(seed)
        groups: dict[tuple[str, str, int], list[Entry]] = {}
        for entry in lexicon():
            groups.setdefault((entry.kind, entry.emotion, entry.level), []).append(entry)
        self.entries: dict[tuple[str, str, int], list[str]] = {}
        self._weights: dict[tuple[str, str, int], NDArray[np.float64]] = {}
        self.unseen: list[Example] = []
        for key, group in groups.items():
            order = np.random.default_rng(len(group)).permutation(len(group))
            kept = len(group) - round(held_out * len(group))
            self.entries[key] = [group[i].text for i in order[:kept]]
            self._weights[key] = np.cumsum([group[i].weight for i in order[:kept]])
            self.unseen += [self._plain(group[i]) for i in order[kept:]]

    def _plain(self, entry: Entry) -> Example:
        text = verb_form(entry.text, "ing") if entry.kind == "verb" else entry.text
        intensity = 0 if entry.emotion == "neutral" else entry.level + 1
        return Example(fill(text, np.random.default_rng(len(entry.text))), entry.emotion, intensity)

    def _pick(self, choices: list[str] | tuple[str, ...]) -> str:
        return choices[int(self.rng.integers(len(choices)))]

    def _entry(self, kind: str, emotion: str, level: int) -> str:
        sums = self._weights[kind, emotion, level]
        at = int(np.searchsorted(sums, self.rng.random() * sums[-1], side="right"))
        return self.entries[kind, emotion, level][min(at, len(sums) - 1)]

    def _write(self, patterns: tuple[str, ...], phrase: str) -> str:
        """One of `patterns` with its "#" replaced, and all choices and slots filled."""
        return fill(self._pick(patterns).replace("#", phrase), self.rng)

    def _graded(self, word: str, level: int) -> tuple[str, int]:
        """A word with an adverb of degree, and the intensity (1..3) that both ask for together."""
        degree = int(self.rng.choice(4, p=[0.2, 0.15, 0.2, 0.45]))
        if degree == 3:
            return word, level + 1
        text = f"{self._pick(_split(phrases.DEGREES[degree], ';'))} {word}".strip()
        return text, (max(1, level), level + 1, 3)[degree]

    def _feeling(self, emotion: str) -> tuple[str, int]:
        """A phrase for an emotion, and its intensity 1..3 (of neutral it is ignored)."""
        level = 0 if emotion == "neutral" else int(self.rng.integers(3))
        kind = self.rng.random()
        if kind < 0.28:
            word, intensity = self._graded(self._entry("adjective", emotion, level), level)
            return self._write(patterns.ADJECTIVE, word), intensity
        if kind < 0.36:
            word, intensity = self._graded(self._entry("adverb", emotion, level), level)
            return self._write(patterns.ADVERB, word), intensity
        if kind < 0.46:
            return self._write(patterns.NOUN[level], self._entry("noun", emotion, 1)), level + 1
        if kind < 0.58:
            verb, form = self._entry("verb", emotion, level), self._pick(tuple(patterns.VERB))
            return self._write(patterns.VERB[form], verb_form(verb, form)), level + 1
        if kind < 0.60:
            return self._pick(_split(phrases.OTHER_LANGUAGES[emotion], ";")), 2
        if kind < 0.65 and emotion == "neutral":
            word = self._entry("adjective", self._pick(EMOTIONS[1:]), 1)
            return self._write(patterns.DENIED, word), 0
        return self._write(patterns.SCENE, self._entry("scene", emotion, level)), level + 1

    def example(self) -> Example:
        """The next random text."""
        emotion = self._pick(EMOTIONS)
        manner, head, voice = (
            self._pick(tuple(names)) if self.rng.random() < 0.4 else plain
            for names, plain in ((MANNERS, "plain"), (HEADS, "steady"), (VOICES, "even"))
        )
        if self.rng.random() < 0.25:
            intensity = 0 if emotion == "neutral" else int(self.rng.integers(1, 4))
            text = sentence(emotion, intensity, manner, head, voice, self.rng)
            return Example(self._untidy(text), emotion, intensity, manner, head, voice)
        text, intensity = self._feeling(emotion)
        if self.rng.random() < 0.25:
            text = self._write(patterns.BESIDE, text)
        if self.rng.random() < 0.2:  # two phrases for the same feeling; the stronger one counts
            more, other = self._feeling(emotion)
            text, intensity = f"{text}{self._pick((', ', ' and ', '; '))}{more}", max(intensity, other)
        details = [self._pick(MANNERS[manner]), self._pick(HEADS[head]), self._pick(VOICES[voice])]
        self.rng.shuffle(details)
        text = ", ".join([text, *filter(None, details)])
        return Example(self._untidy(text), emotion, 0 if emotion == "neutral" else intensity, manner, head, voice)

    def _untidy(self, text: str) -> str:
        """Now and then a slip of the keyboard, so that a typing error does not change a feeling."""
        if len(text) > 6 and self.rng.random() < 0.08:
            at = int(self.rng.integers(1, len(text) - 1))
            text = self._pick((text[:at] + text[at + 1 :], text[:at] + text[at] + text[at:]))
        return text

    def batches(self, size: int, pool: int = 1) -> Iterator[list[Example]]:
        """Batches of `size`. From a `pool` of several batches, texts of like length share one: little is padded."""
        while True:
            drawn = [self.example() for _ in range(size * pool)]
            if pool > 1:
                drawn.sort(key=lambda example: len(example.text))
            for i in self.rng.permutation(pool):
                yield drawn[i * size : (i + 1) * size]


def _targets(batch: list[Example]) -> tuple[Tensor, Tensor]:
    """Soft targets: of texts among each other [B, B] (no diagonal), and over ANCHORS [B, 22]; rows sum to 1."""
    emotion = torch.tensor([EMOTIONS.index(e.emotion) for e in batch])
    intensity = torch.tensor([e.intensity for e in batch])
    same = (emotion[:, None] == emotion).float()
    likeness = same * (_SAME_EMOTION + _SAME_INTENSITY * (1 - (intensity[:, None] - intensity).abs() / 2))
    for values in ([e.manner for e in batch], [e.head for e in batch], [e.voice for e in batch]):
        likeness += _SAME_DETAIL * torch.tensor([[a == b for b in values] for a in values])
    likeness.fill_diagonal_(-torch.inf)
    labels = torch.zeros(len(batch), len(ANCHORS))
    for row, (name, level) in enumerate(ANCHORS):
        near = (intensity - level).abs()
        weight = torch.where(near == 0, 0.8, torch.where(near == 1, 0.15, 0.05))
        labels[:, row] = torch.where(emotion == EMOTIONS.index(name), weight, 0.0)
    return (likeness / 0.08).softmax(-1), labels / labels.sum(-1, keepdim=True)


def train_text(
    out_dir: Path,
    steps: int | None = None,
    minutes: float | None = None,
    batch_size: int = 64,
    width: int = 128,
    held_out: float = 0.0,
    seed: int = 0,
) -> dict[str, float]:
    """Train tokenizer and encoder for `steps` or `minutes`, whichever ends first; save them as a transformers folder.

    Args:
        out_dir: receives tokenizer, config.json, model.safetensors (float16) and anchors.safetensors.
        held_out: share of the lexicon kept away from training; accuracy is measured on it. 0 for what is shipped.
    Returns:
        steps, loss, and `evaluate_text` of the result.
    """
    steps = STEPS if steps is None and minutes is None else steps
    torch.manual_seed(seed)
    weaver = Weaver(seed, held_out)
    tokenizer, model = build_text([weaver.example().text for _ in range(TOKENIZER_TEXTS)], width, VOCABULARY)
    anchors = torch.nn.Linear(width, len(ANCHORS), bias=False)
    temperature = 0.1
    batches = weaver.batches(batch_size, pool=8)

    def loss_of_batch(progress: float) -> tuple[Tensor, dict[str, float]]:
        batch = next(batches)
        ids = tokenizer([e.text for e in batch], padding=True, truncation=True, return_tensors="pt")
        pooled = F.normalize(model(input_ids=ids["input_ids"]).pooler_output, dim=-1)
        among, over = _targets(batch)
        own = torch.eye(len(batch), dtype=torch.bool)
        pairs = F.cross_entropy((pooled @ pooled.T / temperature).masked_fill(own, -1e4), among)
        reads = F.cross_entropy(pooled @ F.normalize(anchors.weight, dim=-1).T / temperature, over)
        return pairs + reads, {"pairs": pairs.item(), "reads": reads.item()}

    tokenizer.backend_tokenizer.model.dropout = 0.1
    metrics = train_expert(model, loss_of_batch, Budget(steps, minutes), also=anchors)
    tokenizer.backend_tokenizer.model.dropout = None
    save_text(out_dir, tokenizer, model, anchors.weight, temperature)
    return metrics | evaluate_text(out_dir, weaver.unseen)


def evaluate_text(folder: Path, unseen: list[Example], examples: int = 400) -> dict[str, float]:
    """Accuracy of `emotion_of`: on fresh woven texts (emotion, and intensity within one step), and on unseen entries.

    `neighbour` is the share of woven texts whose nearest other text asks for the same emotion.
    """
    encoder = load_text(folder)
    woven = [next(Weaver(seed=9_999).batches(examples))][0]
    read = encoder.emotions_of([e.text for e in woven])
    right = [r.emotion == e.emotion for r, e in zip(read, woven, strict=True)]
    close = [abs(r.intensity - e.intensity) <= 1 for r, e, ok in zip(read, woven, right, strict=True) if ok]
    pooled = encoder.encode([e.text for e in woven])[1]
    nearest = (pooled @ pooled.T).fill_diagonal_(-1).argmax(-1).tolist()
    metrics = {
        "emotion_accuracy": float(np.mean(right)),
        "intensity_within_one": float(np.mean(close)),
        "neighbour": float(np.mean([woven[i].emotion == e.emotion for i, e in zip(nearest, woven, strict=True)])),
    }
    if unseen:
        readings = encoder.emotions_of([e.text for e in unseen])
        right = [r.emotion == e.emotion for r, e in zip(readings, unseen, strict=True)]
        metrics["unseen_accuracy"] = float(np.mean(right))
        metrics["unseen_texts"] = len(unseen)
    return metrics
