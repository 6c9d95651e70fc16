"""Trains the studio's emotion text encoder: BPE, a small CLIP text model, and the anchors that read emotions.

No captions from the outside are needed: tasks/training/phrases.py says how people write about feelings,
tasks/captions.py how the pipeline does, and this module weaves both into texts whose attributes are known. Two texts
should lie as close as their attributes agree, so the loss is an InfoNCE (van den Oord et al., 2018; CLIP) with soft
targets, beside the cross-entropy over the learned anchors.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.text import ANCHORS, EMOTIONS, TextEncoder, build_text, load_text, save_text
from tasks.captions import HEADS, MANNERS, VOICES, sentence
from tasks.training.expert_loop import Budget, train_expert
from tasks.training.phrases_validation import VALIDATION
from tasks.training.phrases_weaver import Example, Weaver

STEPS = 2000
"""What the shipped encoder took, where neither steps nor minutes are given."""
VOCABULARY, TOKENIZER_TEXTS = 2560, 20_000
"""Word pieces, and the woven texts that they are learned from."""
RATE, WARM_RATE, STAY = 2e-3, 1e-3, 4.0
"""Learning rates from scratch and from `init`, and the weight of staying where `init` had a text (1 - cosine)."""
_SAME_EMOTION, _SAME_INTENSITY, _SAME_DETAIL = 0.55, 0.21, 0.08


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
    init: str | Path | None = None,
) -> dict[str, float]:
    """Train tokenizer and encoder for `steps` or `minutes`, whichever ends first; save them as a transformers folder.

    Args:
        out_dir: receives tokenizer, config.json, model.safetensors (float16) and anchors.safetensors.
        width: of a new encoder; that of `init` stays.
        held_out: share of the lexicon kept away from training; accuracy is measured on it. 0 for what is shipped.
        init: an encoder (`load_text`) to go on from. Its tokenizer stays, and a text that it reads right keeps its
            place, so that what was trained on its pooled vectors can go on using them.
    Returns:
        steps, loss, and `evaluate_text` of the result.
    Raises:
        MissingText: there is no encoder at `init`.
    """
    steps = STEPS if steps is None and minutes is None else steps
    torch.manual_seed(seed)
    weaver = Weaver(seed, held_out)
    before = None if init is None else load_text(init)
    if before is None:
        tokenizer, model = build_text([weaver.example().text for _ in range(TOKENIZER_TEXTS)], width, VOCABULARY)
        anchors = torch.nn.Linear(width, len(ANCHORS), bias=False)
        temperature, peak_rate = 0.1, RATE
    else:
        tokenizer, model = before.tokenizer, copy.deepcopy(before.model).requires_grad_(True)
        anchors = torch.nn.Linear(before.width, len(ANCHORS), bias=False)
        anchors.weight.data.copy_(before.anchors)
        temperature, peak_rate = before.temperature, WARM_RATE
    batches = weaver.batches(batch_size, pool=8)

    def loss_of_batch(progress: float) -> tuple[Tensor, dict[str, float]]:
        batch = next(batches)
        with _split_words(tokenizer):
            ids = tokenizer([e.text for e in batch], padding=True, truncation=True, return_tensors="pt")["input_ids"]
        pooled = F.normalize(model(input_ids=ids).pooler_output, dim=-1)
        among, over = _targets(batch)
        own = torch.eye(len(batch), dtype=torch.bool)
        pairs = F.cross_entropy((pooled @ pooled.T / temperature).masked_fill(own, -1e4), among)
        reads = F.cross_entropy(pooled @ F.normalize(anchors.weight, dim=-1).T / temperature, over)
        parts = {"pairs": pairs.item(), "reads": reads.item()}
        if before is None:
            return pairs + reads, parts
        moved = _moved(before, batch, pooled)
        return pairs + reads + STAY * moved, parts | {"moved": moved.item()}

    metrics = train_expert(model, loss_of_batch, Budget(steps, minutes), peak_rate=peak_rate, also=anchors)
    save_text(out_dir, tokenizer, model, anchors.weight, temperature)
    return metrics | evaluate_text(out_dir, weaver.unseen, before)


@contextmanager
def _split_words(tokenizer: Any) -> Iterator[None]:
    """BPE dropout (Provilkov et al., 2020): words come in other pieces each time, as rare words and slips do."""
    tokenizer.backend_tokenizer.model.dropout = 0.1
    yield
    tokenizer.backend_tokenizer.model.dropout = None


def _moved(before: TextEncoder, batch: list[Example], pooled: Tensor) -> Tensor:
    """How far `pooled` [B, width] lies from where `before` has the texts that it reads right: mean of 1 - cosine."""
    old = before.encode([e.text for e in batch])[1]
    shares = (old @ before.anchors.T / before.temperature).softmax(-1)
    of_emotion = torch.tensor([[float(name == emotion) for emotion in EMOTIONS] for name, _ in ANCHORS])
    asked = torch.tensor([EMOTIONS.index(e.emotion) for e in batch])
    right = ((shares @ of_emotion).argmax(-1) == asked).float()
    return (right * (1 - (pooled * old).sum(-1))).sum() / right.sum().clamp(min=1)


def evaluate_text(
    folder: Path, unseen: list[Example], before: TextEncoder | None = None, examples: int = 400
) -> dict[str, float]:
    """Accuracy of `emotion_of`: on fresh woven texts (emotion, and intensity within one step), and on unseen entries.

    `validation` is the share of VALIDATION that is read right, `neighbour` that of woven texts whose nearest other
    text asks for the same emotion. With the encoder of `before`: the mean cosine between the pooled vectors of both,
    of all captions (`kept_captions`) and of the woven texts that both read right (`kept_woven`).
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
    told = [Example(text, emotion, 0) for emotion, texts in VALIDATION.items() for text in texts]
    readings = encoder.emotions_of([e.text for e in told])
    metrics["validation"] = float(np.mean([r.emotion == e.emotion for r, e in zip(readings, told, strict=True)]))
    if before is not None:
        was = before.emotions_of([e.text for e in woven])
        both = [a.emotion == b.emotion == e.emotion for a, b, e in zip(read, was, woven, strict=True)]
        cosine = (pooled * before.encode([e.text for e in woven])[1]).sum(-1)
        metrics["kept_woven"] = float(cosine[torch.tensor(both)].mean())
        captions = _captions()
        cosine = (encoder.encode(captions)[1] * before.encode(captions)[1]).sum(-1)
        metrics["kept_captions"] = float(cosine.mean())
    if unseen:
        readings = encoder.emotions_of([e.text for e in unseen])
        right = [r.emotion == e.emotion for r, e in zip(readings, unseen, strict=True)]
        metrics["unseen_accuracy"] = float(np.mean(right))
        metrics["unseen_texts"] = len(unseen)
    return metrics


def _captions() -> list[str]:
    """Captions of every emotion and intensity, plain and with each manner, head and voice."""
    asked = [(emotion, i) for emotion in EMOTIONS for i in ((0,) if emotion == "neutral" else (1, 2, 3))]
    beside = [(m, "steady", "even") for m in MANNERS] + [("plain", h, "even") for h in HEADS]
    beside += [("plain", "steady", v) for v in VOICES]
    return [sentence(*feeling, *details) for feeling in asked for details in beside]
