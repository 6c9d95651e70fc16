"""Trains the experts of feeling: two face recognisers, a voice recogniser, and a reader of action units."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.emotion import EMOTIONS, WINDOW, FaceEmotion, VoiceEmotion, load_face_emotion, load_voice_emotion
from models.saving import save_model
from storage.atomic import written_aside
from tasks.emotion import voice_inputs
from tasks.studio.controls import ARTICULATION, AUS
from tasks.studio.sentences import sample_sentence
from tasks.studio.speech import FEMININE, LANGUAGES, MASCULINE, join, sample_voice, speak
from tasks.training.action_units import LOWER_AUS, MIRRORED, train_action_units
from tasks.training.augment import record
from tasks.training.emotion_faces import (
    MARGIN,
    SIDE,
    Faces,
    Lot,
    composed,
    corpus_faces,
    expression_faces,
    fast,
    known_faces,
    lower_only,
    vary,
)
from tasks.training.emotion_metrics import evaluate_face_emotion
from tasks.training.expert_loop import Budget, train_expert
from tasks.training.expressions import IDENTITY_BASE, render_expressions
from tasks.training.speech import HELD_OUT_VOICES
from tasks.training.stills import render_stills

FACE_STEPS, VOICE_STEPS = 6000, 2000
"""What the shipped recognisers took, where neither steps nor minutes are given."""
PEOPLE, CROWD, FEW = 128, 300, 6
"""Shown in every expression for them; and shown in a few."""
STILLS = (1400, 3, 112)
"""People, stills of each, and pixels on a side."""
METRICS = "metrics.json"
SIGNS_WEIGHT = 1.5
"""How much the action units and movements of speech count beside the emotion."""
OTHER_SIDE = np.concatenate([MIRRORED, len(AUS) + np.arange(len(ARTICULATION))])
LOWER_SIGNS = np.array([name in LOWER_AUS or name in ARTICULATION for name in (*AUS, *ARTICULATION)])
"""bool [26]: what can be seen in the part that dubbing repaints."""


def reading_loss(logits: Tensor, strength: Tensor, emotion: Tensor, intensity: Tensor) -> Tensor:
    """Cross-entropy of the emotion, weaker where the expression is slight, and squared error of the intensity.

    Both only where the emotion has a name (is not negative).
    """
    named = emotion >= 0
    weight = torch.where(intensity == 1, 0.6, 1.0) * named
    entropy = F.cross_entropy(logits, emotion.clamp(min=0), reduction="none", label_smoothing=0.05)
    return (entropy * weight).mean() + 0.2 * ((strength - intensity).square() * named).mean()


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
    stills: Path | None = None,
    moods: Path | None = None,
) -> dict[str, float]:
    """Train a face recogniser and save it into `out_dir` (config.json, float16 safetensors).

    Args:
        corpus: a talking corpus.
        expressions: rendered expressions (tasks/training/expressions.py), which are far more telling.
        stills: stills of many people (tasks/training/stills.py): they teach what action units look like.
        moods: another talking corpus, of people who act.
        kind: "face" or "judge": learn from that half of the people; None: from all.

    Returns what `train_expert` does, and `evaluate_face_emotion` on the people held out: of the corpus (named
    corpus_…), of the moods (moods_…), and of the expressions.
    """
    steps = FACE_STEPS if steps is None and minutes is None else steps
    torch.manual_seed(seed)
    cache = cache or corpus / "faces"
    faces = known_faces([corpus, *([] if moods is None else [moods])], cache, expressions, stills)
    faces = faces if kind is None else people_of(faces, kind)
    draw = _draws(faces, np.random.default_rng(seed))
    model = FaceEmotion(window=WINDOW).to(device)

    signs = np.concatenate([faces.aus, faces.articulation], axis=1)
    spread = np.maximum(signs.std(0), 0.03)

    def loss_of_batch(progress: float) -> tuple[Tensor, dict[str, float]]:
        pictures, index, whole, mirrored = draw(batch_size)
        wanted = np.where(mirrored[:, None], signs[index][:, OTHER_SIDE], signs[index])
        counts = whole[:, None] | LOWER_SIGNS  # what the upper face of another expression says is not asked for
        target, weight = (torch.from_numpy(x.astype(np.float32)).to(device) for x in (wanted / spread, counts))
        emotion = torch.from_numpy(faces.emotion[index]).to(device)
        with fast(device):
            features = model.features(torch.from_numpy(pictures).permute(0, 3, 1, 2).to(device).float() / 255)
            read = [head(features).float() for head in (model.emotion, model.intensity, model.to_signs)]
        error = F.smooth_l1_loss(read[2], target, reduction="none")
        seen = (error * weight).sum() / weight.sum()
        felt = reading_loss(read[0], read[1][:, 0], emotion, torch.from_numpy(faces.intensity[index]).to(device))
        right = (read[0].argmax(-1) == emotion).float()[emotion >= 0]
        shown = torch.from_numpy(whole).to(device)[emotion >= 0]
        parts = {
            "signs": seen.item(),
            "lower_accuracy": right[~shown].mean().item(),
            "accuracy": right[shown].mean().item(),
        }
        return felt + SIGNS_WEIGHT * seen, {name: value for name, value in parts.items() if np.isfinite(value)}

    metrics = train_expert(model, loss_of_batch, Budget(steps, minutes), 2e-3, weight_decay=0.05)
    out_dir.mkdir(parents=True, exist_ok=True)
    save_model(model.half(), out_dir)
    saved = load_face_emotion(out_dir)
    for name, clips in (("corpus", corpus), ("moods", moods)):
        if clips is not None:
            measured = evaluate_face_emotion(saved, corpus_faces(clips, cache, SIDE, MARGIN, ("val", "test")))
            metrics |= {f"{name}_{measure}": value for measure, value in measured.items()}
    if expressions is not None:
        metrics |= evaluate_face_emotion(saved, expression_faces(expressions, SIDE, MARGIN, held_out=True))
    return metrics


Drawn = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]


def _draws(faces: Faces, rng: np.random.Generator) -> Callable[[int], Drawn]:
    """Batches of varied pictures uint8 [B,96,96,3] with their rows, half of them each emotion as often as any other;
    and bool [B] whether all that they show belongs together, and whether they are mirrored.

    Half show the whole face, a quarter the lower part alone, a quarter the lower part in a face of the same person
    that otherwise feels something else (of rendered expressions; talking people turn their heads too much for it).
    """
    lots = [Lot(faces, np.flatnonzero(faces.emotion == emotion)) for emotion in range(len(EMOTIONS))]
    lots = [lot for lot in lots if len(lot)]
    anything = Lot(faces, np.arange(len(faces)))
    alike = {person: np.flatnonzero(faces.person == person) for person in np.unique(faces.person)}
    mixed = faces.mixed

    def upper(row: int) -> NDArray[np.uint8]:
        if mixed[row] and rng.random() < 0.5:
            return faces.rest[row]
        return faces.pictures[rng.choice(alike[int(faces.person[row])])]

    def draw(count: int) -> Drawn:
        # half of them any picture: the few of a rare emotion would be learned by heart
        chosen = [lots[rng.integers(len(lots))] if rng.random() < 0.5 else anything for _ in range(count)]
        index = np.array([lot.draw(rng) for lot in chosen])
        way, mirrored = rng.integers(4, size=count), rng.random(count) < 0.5
        way[(way == 2) & (faces.person[index] < IDENTITY_BASE)] = 3
        pictures = []
        for row, how, mirror in zip(index, way, mirrored, strict=True):
            picture = composed(faces.pictures[row], upper(int(row)), MARGIN) if how == 2 else faces.pictures[row]
            seen = vary(picture, MARGIN, rng, mirror=bool(mirror))
            pictures.append(lower_only(seen) if how == 3 else seen)
        return np.stack(pictures), index, way < 2, mirrored

    return draw


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
    save_model(model.half(), out_dir)
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
    stills: Path | None = None,
    moods: Path | None = None,
) -> dict[str, float]:
    """Train all experts of feeling into `out_dir`: face, judge, voice, action_units, each for `steps` or a quarter of
    the `minutes`; metrics.json holds what was measured.

    Args:
        expressions: a folder of rendered expressions; those that lack there are rendered first (128 people twice,
            and 300 in a few, about fifteen minutes of one core). None: beside `out_dir`.
        stills: a folder of stills, likewise.
        moods: another talking corpus, of people who act.

    Returns their measures, named face_…, judge_…, voice_… and action_units_….
    """
    share = None if minutes is None else minutes / 4
    expressions = expressions or out_dir.parent / "expressions"
    stills = stills or out_dir.parent / "stills"
    for other in (False, True):
        for _ in render_expressions(expressions, PEOPLE, other=other, device=device):
            pass
    for _ in render_expressions(expressions, CROWD, few=FEW, first=PEOPLE, device=device):
        pass
    for _ in render_stills(stills, *STILLS, device=device):
        pass
    cache = out_dir.parent / "faces"
    parts: dict[str, dict[str, float]] = {}
    for number, kind in enumerate(("face", "judge")):
        parts[kind] = train_face_emotion(
            corpus, out_dir / kind, cache, steps, share, device=device, seed=seed + number, expressions=expressions,
            kind=kind, stills=stills, moods=moods,
        )  # fmt: skip
    parts["voice"] = train_voice_emotion(out_dir / "voice", steps=steps, minutes=share, seed=seed)
    parts["action_units"] = train_action_units(
        expressions, out_dir / "action_units", corpus, cache, steps, share, device=device, seed=seed,
        stills=stills, moods=moods,
    )  # fmt: skip
    with written_aside(out_dir / METRICS) as aside:
        aside.write_text(json.dumps(parts, indent=1, sort_keys=True) + "\n")
    return {f"{kind}_{name}": value for kind, measures in parts.items() for name, value in measures.items()}
