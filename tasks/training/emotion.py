"""Trains the experts of feeling: two face recognisers, a voice recogniser, and a reader of action units."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.emotion import EMOTIONS, SIDE, FaceEmotion, VoiceEmotion, load_face_emotion, load_voice_emotion
from storage.atomic import written_aside
from tasks.emotion import voice_inputs
from tasks.studio.sentences import sample_sentence
from tasks.studio.speech import FEMININE, LANGUAGES, MASCULINE, join, sample_voice, speak
from tasks.training.action_units import train_action_units
from tasks.training.augment import record
from tasks.training.emotion_faces import (
    Faces,
    composed,
    corpus_faces,
    expression_faces,
    inner,
    join_faces,
    lower_only,
    vary,
)
from tasks.training.expert_loop import Budget, train_expert
from tasks.training.expressions import IDENTITY_BASE, render_expressions
from tasks.training.speech import HELD_OUT_VOICES

MARGIN = 6
FACE_STEPS, VOICE_STEPS = 2500, 2000
"""What the shipped recognisers took, where neither steps nor minutes are given."""
PEOPLE = 128
"""Rendered for them."""
METRICS = "metrics.json"


def reading_loss(logits: Tensor, strength: Tensor, emotion: Tensor, intensity: Tensor) -> Tensor:
    """Cross-entropy of the emotion, weaker where the expression is slight, and squared error of the intensity."""
    weight = torch.where(intensity == 1, 0.6, 1.0)
    entropy = F.cross_entropy(logits, emotion, reduction="none", label_smoothing=0.05)
    return (entropy * weight).mean() + 0.2 * (strength - intensity).square().mean()


def people_of(faces: Faces, kind: str) -> Faces:
    """The half of the people that a recogniser of `kind` learns from: "face" those of even seed, "judge" the others."""
    return faces.of(faces.person % 2 == ("face", "judge").index(kind))


def train_face_emotion(
    corpus: Path,
    out_dir: Path,
    cache: Path | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    batch_size: int = 64,
    device: str = "cpu",
    seed: int = 0,
    expressions: Path | None = None,
    kind: str | None = None,
) -> dict[str, float]:
    """Train a face recogniser and save it into `out_dir` (config.json, float16 safetensors).

    Args:
        corpus: a talking corpus.
        expressions: rendered expressions (tasks/training/expressions.py), which are far more telling.
        kind: "face" or "judge": learn from that half of the people; None: from all.

    Returns what `train_expert` does, and `evaluate_face_emotion` on the people held out: of the corpus (named
    corpus_…), and of the expressions.
    """
    steps = FACE_STEPS if steps is None and minutes is None else steps
    torch.manual_seed(seed)
    cache = cache or corpus / "faces"
    parts = [corpus_faces(corpus, cache, SIDE, MARGIN)]
    if expressions is not None:
        parts.append(expression_faces(expressions, SIDE, MARGIN, held_out=False))
    faces = join_faces(parts)
    faces = faces if kind is None else people_of(faces, kind)
    draw = _draws(faces, np.random.default_rng(seed))
    model = FaceEmotion().to(device)

    def loss_of_batch(progress: float) -> tuple[Tensor, dict[str, float]]:
        pictures, index = draw(batch_size)
        emotion = torch.from_numpy(faces.emotion[index]).to(device)
        logits, strength = model(torch.from_numpy(pictures).permute(0, 3, 1, 2).to(device).float() / 255)
        return reading_loss(logits, strength, emotion, torch.from_numpy(faces.intensity[index]).to(device)), {
            "accuracy": (logits.argmax(-1) == emotion).float().mean().item()
        }

    metrics = train_expert(model, loss_of_batch, Budget(steps, minutes), 1.5e-3)
    out_dir.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(out_dir)
    saved = load_face_emotion(out_dir)
    held_out = corpus_faces(corpus, cache, SIDE, MARGIN, ("val", "test"))
    metrics |= {f"corpus_{name}": value for name, value in evaluate_face_emotion(saved, held_out).items()}
    if expressions is not None:
        metrics |= evaluate_face_emotion(saved, expression_faces(expressions, SIDE, MARGIN, held_out=True))
    return metrics


def _draws(faces: Faces, rng: np.random.Generator) -> Callable[[int], tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Batches of varied pictures uint8 [B,64,64,3] with their rows, each emotion as often as any other.

    A third shows the whole face, a third the lower part alone, a third the lower part in a face of the same person
    that otherwise feels something else (of rendered expressions; talking people turn their heads too much for it).
    """
    rows = [np.flatnonzero(faces.emotion == emotion) for emotion in np.unique(faces.emotion)]
    alike = {person: np.flatnonzero(faces.person == person) for person in np.unique(faces.person)}
    mixed = faces.mixed

    def upper(row: int) -> NDArray[np.uint8]:
        if mixed[row] and rng.random() < 0.5:
            return faces.rest[row]
        person = int(faces.person[row])
        return faces.pictures[row if person < IDENTITY_BASE else rng.choice(alike[person])]

    def draw(count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        index = np.array([rng.choice(rows[rng.integers(len(rows))]) for _ in range(count)])
        pictures = []
        for row in index:
            way, picture = rng.integers(3), faces.pictures[row]
            if way == 1:
                picture = composed(picture, upper(int(row)), MARGIN)
            seen = vary(picture, MARGIN, rng, mirror=bool(rng.random() < 0.5))
            pictures.append(lower_only(seen) if way == 2 else seen)
        return np.stack(pictures), index

    return draw


@torch.no_grad()
def read_pictures(model: FaceEmotion, pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Log-probabilities float32 [N,8] and intensities float32 [N] of crops uint8 [N,S,S,3]."""
    batches = (torch.from_numpy(pictures[i : i + 256]) for i in range(0, len(pictures), 256))
    read = [model(batch.permute(0, 3, 1, 2).to(model.device).float() / 255) for batch in batches]
    logs = torch.cat([logits for logits, _ in read]).log_softmax(-1)
    return logs.cpu().numpy(), torch.cat([strength for _, strength in read]).cpu().numpy()


def evaluate_face_emotion(model: FaceEmotion, faces: Faces) -> dict[str, float]:
    """How well `model` reads `faces`.

    accuracy: of single pictures; …_clear: at intensity 2 and 3 (and neutral); …_3: at intensity 3; clip_…: frames of a
    clip vote; lower_…: the lower part alone; rest_neutral_…: the lower part in a face that is neutral otherwise;
    intensity_error: mean error; intensity_order: share of pairs of one person's pictures of one emotion whose
    intensities come in the right order.
    """
    whole = inner(faces.pictures, MARGIN)
    logs, strength = read_pictures(model, whole)
    metrics = _accuracies(logs, faces) | _accuracies(read_pictures(model, lower_only(whole))[0], faces, "lower_")
    mixed = faces.mixed
    if mixed.any():
        placed = composed(whole[mixed], inner(faces.rest, MARGIN)[mixed])
        metrics |= _accuracies(read_pictures(model, placed)[0], faces.of(mixed), "rest_neutral_")
    clips = np.unique(faces.clip)
    members = [np.flatnonzero(faces.clip == clip) for clip in clips]
    first = np.array([rows[0] for rows in members])
    if len(clips) < len(faces):
        votes = np.stack([logs[rows].mean(0) for rows in members])
        metrics |= _accuracies(votes, faces.of(first), "clip_")
    metrics["intensity_error"] = float(np.abs(strength - faces.intensity).mean())
    level = np.array([strength[rows].mean() for rows in members])
    if (order := _order(level, faces.of(first))) is not None:
        metrics["intensity_order"] = order
    return metrics | {"pictures": float(len(faces)), "people": float(len(np.unique(faces.person)))}


def _accuracies(logs: NDArray[np.float32], faces: Faces, prefix: str = "") -> dict[str, float]:
    right = logs.argmax(-1) == faces.emotion
    chosen = {
        "accuracy": np.full(len(right), True),
        "accuracy_clear": (faces.intensity >= 2) | (faces.emotion == 0),
        "accuracy_3": faces.intensity == 3,
    }
    return {f"{prefix}{name}": float(right[rows].mean()) for name, rows in chosen.items() if rows.any()}


def _order(level: NDArray[np.float64], faces: Faces) -> float | None:
    """Share of pairs with the same person and emotion whose read intensities come in the right order."""
    right: list[bool] = []
    for i, j in combinations(range(len(faces)), 2):
        alike = faces.person[i] == faces.person[j] and faces.emotion[i] == faces.emotion[j]
        if alike and faces.intensity[i] != faces.intensity[j]:
            right.append(bool((level[i] < level[j]) == (faces.intensity[i] < faces.intensity[j])))
    return float(np.mean(right)) if right else None


def _voices(count: int, split: str, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`count` passages of 3–6 s in random moods: prosody [N, 10], spectrum [N, 160], emotion [N], intensity [N]."""
    rng = np.random.default_rng([seed, split == "train"])
    vectors, spectra, labels = [], [], []
    names = [v for v in FEMININE + MASCULINE if (v in HELD_OUT_VOICES) == (split != "train")]
    for _ in range(count):
        language = str(rng.choice(LANGUAGES))
        voice = replace(sample_voice(rng, language), variant=str(rng.choice(names)))
        emotion = int(rng.integers(len(EMOTIONS)))
        intensity = 0 if emotion == 0 else int(rng.integers(1, 4))
        parts = [
            speak(sample_sentence(rng, language, split), voice, emotion=EMOTIONS[emotion], intensity=intensity)
            for _ in range(2)
        ]
        audio = join(parts, float(rng.uniform(0, 0.3))).audio
        vector, spectrum, _ = voice_inputs(record(audio, rng) if rng.random() < 0.5 else audio)
        vectors.append(vector)
        spectra.append(spectrum)
        labels.append((emotion, intensity))
    emotion_labels, intensity_labels = torch.tensor(labels).T
    return torch.from_numpy(np.stack(vectors)), torch.from_numpy(np.stack(spectra)), emotion_labels, intensity_labels


def train_voice_emotion(
    out_dir: Path, passages: int = 1500, steps: int | None = None, minutes: float | None = None, seed: int = 0
) -> dict[str, float]:
    """Train the voice recogniser on spoken `passages` and save it into `out_dir` (config.json, float16 safetensors).

    Returns what `train_expert` does, and the accuracy on 400 passages of voices and sentences that were held out: over
    all, and at intensity 2 and 3.
    """
    steps = VOICE_STEPS if steps is None and minutes is None else steps
    torch.manual_seed(seed)
    prosody, spectrum, emotion, intensity = _voices(passages, "train", seed)
    model = VoiceEmotion()
    rng = np.random.default_rng(seed)

    def loss_of_batch(progress: float) -> tuple[Tensor, dict[str, float]]:
        index = torch.from_numpy(rng.integers(0, passages, 128))
        noisy = prosody[index] + 0.1 * torch.randn(len(index), prosody.shape[1])
        logits, strength = model(noisy, spectrum[index] + 0.05 * torch.randn(len(index), spectrum.shape[1]))
        return reading_loss(logits, strength, emotion[index], intensity[index]), {}

    metrics = train_expert(model, loss_of_batch, Budget(steps, minutes), 2e-3, weight_decay=0.05)
    out_dir.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(out_dir)
    prosody, spectrum, emotion, intensity = _voices(400, "test", seed)
    with torch.no_grad():
        logits, _ = load_voice_emotion(out_dir)(prosody, spectrum)
    right = (logits.argmax(-1) == emotion).float()
    return metrics | {"accuracy": right.mean().item(), "accuracy_clear": right[intensity >= 2].mean().item()}


def train_emotion(
    corpus: Path,
    out_dir: Path,
    steps: int | None = None,
    minutes: float | None = None,
    device: str = "cpu",
    seed: int = 0,
    expressions: Path | None = None,
) -> dict[str, float]:
    """Train all experts of feeling into `out_dir`: face, judge, voice, action_units, each for `steps` or a quarter of
    the `minutes`; metrics.json holds what was measured.

    Args:
        expressions: a folder of rendered expressions; those that lack there are rendered first (128 people twice,
            about ten minutes of one core). None: beside `out_dir`.

    Returns their measures, named face_…, judge_…, voice_… and action_units_….
    """
    share = None if minutes is None else minutes / 4
    expressions = expressions or out_dir.parent / "expressions"
    for other in (False, True):
        for _ in render_expressions(expressions, PEOPLE, other=other, device=device):
            pass
    cache = out_dir.parent / "faces"
    parts: dict[str, dict[str, float]] = {}
    for number, kind in enumerate(("face", "judge")):
        parts[kind] = train_face_emotion(
            corpus, out_dir / kind, cache, steps, share, device=device, seed=seed + number, expressions=expressions,
            kind=kind,
        )  # fmt: skip
    parts["voice"] = train_voice_emotion(out_dir / "voice", steps=steps, minutes=share, seed=seed)
    parts["action_units"] = train_action_units(
        expressions, out_dir / "action_units", corpus, cache, steps, share, device=device, seed=seed
    )
    with written_aside(out_dir / METRICS) as aside:
        aside.write_text(json.dumps(parts, indent=1, sort_keys=True) + "\n")
    return {f"{kind}_{name}": value for kind, measures in parts.items() for name, value in measures.items()}
