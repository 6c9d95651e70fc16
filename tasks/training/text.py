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
from torch import Tensor
from torch.nn import functional as F

from models.text import ANCHORS, EMOTIONS, build_text, load_text, save_text
from tasks.captions import HEADS, MANNERS, SUBJECTS, VOICES, sentence
from tasks.training import phrases
from tasks.training.expert_loop import Budget, train_expert

STEPS = 600
"""What the shipped encoder took, where neither steps nor minutes are given."""
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
        held_out: share of the idioms of each emotion and intensity that is never used; see `unseen`.
    """

    def __init__(self, seed: int = 0, held_out: float = 0.0) -> None:
        self.rng = np.random.default_rng(seed)
        self.idioms: dict[tuple[str, int], list[str]] = {}
        self.unseen: list[Example] = []
        for emotion in EMOTIONS:
            for level, text in enumerate(phrases.IDIOMS[emotion]):
                idioms = _split(text, ";")
                kept = len(idioms) - round(held_out * len(idioms))
                order = np.random.default_rng(len(idioms)).permutation(len(idioms))
                intensity = 0 if emotion == "neutral" else level + 1
                self.idioms[emotion, level] = [idioms[i] for i in order[:kept]]
                self.unseen += [Example(idioms[i], emotion, intensity) for i in order[kept:]]

    def _pick(self, choices: list[str] | tuple[str, ...]) -> str:
        return choices[int(self.rng.integers(len(choices)))]

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
        who = self._pick(SUBJECTS)
        if kind < 0.34:
            word, intensity = self._graded(self._pick(_split(phrases.ADJECTIVES[emotion][level], ",")), level)
            patterns = (
                "{}", "{}", f"{who} is {{}}", f"{who} sounds {{}}", f"{who} looks {{}}", "a {} voice", "in a {} tone",
                "make it {}", f"{who} feels {{}}", "{} person talking", "looking {}", "{} face", "say it in a {} way",
                "be {}", "{} expression",
            )  # fmt: skip
            return self._pick(patterns).format(word), intensity
        if kind < 0.46:
            word, intensity = self._graded(self._pick(_split(phrases.ADVERBS[emotion][level], ",")), level)
            return self._pick(("{}", f"{who} speaks {{}}", "speak {}", "says it {}", "talking {}")).format(
                word
            ), intensity
        if kind < 0.58:
            noun = self._pick(_split(phrases.NOUNS[emotion], ","))
            graded = (("a hint of {}", "a touch of {}", "some {}"), ("with {}", "{}", "expressing {}", "full of {}"),
                      ("pure {}", "overwhelming {}", "extreme {}", "nothing but {}"))  # fmt: skip
            return self._pick(graded[level]).format(noun), level + 1
        if kind < 0.62:
            return self._pick(_split(phrases.OTHER_LANGUAGES[emotion], ";")), 2
        if kind < 0.66 and emotion == "neutral":
            other = self._pick(EMOTIONS[1:])
            word = self._pick(_split(phrases.ADJECTIVES[other][1], ","))
            return self._pick(("not {}", "not {} at all", "no longer {}", "neither {} nor anything else")).format(
                word
            ), 0
        idiom = self._pick(self.idioms[emotion, level])
        return self._pick(("{}", "{}", f"{who} speaks, {{}}", f"{who} is talking {{}}", "as if {}")).format(
            idiom
        ), level + 1

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

    def batches(self, size: int) -> Iterator[list[Example]]:
        while True:
            yield [self.example() for _ in range(size)]


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
    batch_size: int = 128,
    width: int = 128,
    held_out: float = 0.0,
    seed: int = 0,
) -> dict[str, float]:
    """Train tokenizer and encoder for `steps` or `minutes`, whichever ends first; save them as a transformers folder.

    Args:
        out_dir: receives tokenizer, config.json, model.safetensors (float16) and anchors.safetensors.
        held_out: share of the idioms kept away from training; accuracy is measured on them. 0 for what is shipped.
    Returns:
        steps, loss, and `evaluate_text` of the result.
    """
    steps = STEPS if steps is None and minutes is None else steps
    torch.manual_seed(seed)
    weaver = Weaver(seed, held_out)
    tokenizer, model = build_text([weaver.example().text for _ in range(8_000)], width=width)
    anchors = torch.nn.Linear(width, len(ANCHORS), bias=False)
    temperature = 0.1
    batches = weaver.batches(batch_size)

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
    """Accuracy of `emotion_of`: on fresh woven texts (emotion, and intensity within one step), and on unseen idioms.

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
