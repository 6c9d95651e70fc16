"""Trains the emotion recognisers: faces on a rendered corpus, voices on synthesised speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.emotion import EMOTIONS, SIDE, FaceEmotion, VoiceEmotion, load_face_emotion, load_voice_emotion
from storage import media
from storage.atomic import written_aside
from tasks.crops import crop_matrix, warp
from tasks.emotion import voice_inputs
from tasks.studio.clip_files import read_manifest, read_truth
from tasks.studio.sentences import sample_sentence
from tasks.studio.speech import FEMININE, LANGUAGES, MASCULINE, join, sample_voice, speak
from tasks.training.augment import record
from tasks.training.expert_loop import Budget, train_expert
from tasks.training.speech import HELD_OUT_VOICES

MARGIN = 6
EVERY = 5
FACE_STEPS, VOICE_STEPS = 800, 2000
"""What the shipped recognisers took, where neither steps nor minutes are given."""
_BIG = SIDE + 2 * MARGIN


@dataclass(frozen=True)
class Faces:
    """Faces with a margin uint8 [N, 76, 76, 3], their emotion and intensity int64 [N], and the clip each is from."""

    pictures: NDArray[np.uint8]
    emotion: NDArray[np.int64]
    intensity: NDArray[np.int64]
    clip: NDArray[np.int64]


def load_faces(corpus: Path, cache: Path, splits: Sequence[str] = ("train",)) -> Faces:
    """Every fifth frame of the clips of `splits`, cropped by the true points; kept under `cache`."""
    cache.mkdir(parents=True, exist_ok=True)
    pictures, labels = [], []
    for number, row in enumerate(row for row in read_manifest(corpus) if row["split"] in splits):
        kept = cache / f"{row['clip']}.npz"
        if not kept.is_file():
            kps = read_truth(corpus / row["truth"]).arrays["kps"]
            frames = [_face(f, kps[i]) for i, _, f in media.iter_frames(corpus / row["video"]) if i % EVERY == 0]
            with written_aside(kept) as partial, partial.open("wb") as file:
                np.savez_compressed(file, faces=np.stack(frames))
        with np.load(kept) as saved:
            faces = saved["faces"]
        pictures.append(faces)
        label = (EMOTIONS.index(row["emotion"]), int(row["intensity"]), number)
        labels += [label] * len(faces)
    if not pictures:
        raise ValueError(f"{corpus} has no clips of {', '.join(splits)}")
    emotion, intensity, clip = np.array(labels, np.int64).T
    return Faces(np.concatenate(pictures), emotion, intensity, clip)


def _face(frame: NDArray[np.uint8], kps: NDArray[np.float32]) -> NDArray[np.uint8]:
    matrix = crop_matrix(kps, SIDE)
    matrix[:, 2] += MARGIN
    return warp(frame, matrix, _BIG)


def _vary(face: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A face [76, 76, 3] → [64, 64, 3] as another detector, camera and light give it, mirrored half the time."""
    angle, size = rng.normal(0, 0.06), float(np.exp(rng.normal(0, 0.05)))
    rotation = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if rng.random() < 0.5:
        rotation[0] *= -1
    target = np.full(2, SIDE / 2 - 0.5) + rng.normal(0, 1.2, 2)
    matrix = np.concatenate([rotation, (target - rotation @ np.full(2, _BIG / 2 - 0.5))[:, None]], axis=1)
    seen = cv2.warpAffine(face, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    if rng.random() < 0.3:
        seen = cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.3, 1.0))
    value = np.linspace(0, 1, 256)[:, None] ** float(np.exp(rng.normal(0, 0.2)))
    value = (value - 0.45) * float(np.exp(rng.normal(0, 0.2))) + 0.45 * np.exp(rng.normal(0, 0.12, 3))
    return np.asarray(cv2.LUT(seen, (np.clip(value, 0, 1) * 255).astype(np.uint8)[None]), np.uint8)


def reading_loss(logits: Tensor, strength: Tensor, emotion: Tensor, intensity: Tensor) -> Tensor:
    """Cross-entropy of the emotion, weaker where the expression is slight, and squared error of the intensity."""
    weight = torch.where(intensity == 1, 0.6, 1.0)
    entropy = F.cross_entropy(logits, emotion, reduction="none", label_smoothing=0.05)
    return (entropy * weight).mean() + 0.2 * (strength - intensity).square().mean()


def train_face_emotion(
    corpus: Path,
    out_dir: Path,
    cache: Path | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    batch_size: int = 64,
    device: str = "cpu",
    seed: int = 0,
) -> dict[str, float]:
    """Train the face recogniser and save it into `out_dir` (config.json, float16 safetensors).

    Returns what `train_expert` does, and the accuracy on the identities of val and test: of single frames, of clips
    (frames vote), of clips at intensity 2 and 3, and the mean error of the intensity.
    """
    steps = FACE_STEPS if steps is None and minutes is None else steps
    torch.manual_seed(seed)
    cache = cache or corpus / "faces"
    faces = load_faces(corpus, cache, ("train",))
    rng = np.random.default_rng(seed)
    model = FaceEmotion().to(device)

    def loss_of_batch(progress: float) -> tuple[Tensor, dict[str, float]]:
        index = rng.integers(0, len(faces.pictures), batch_size)
        batch = (
            torch.from_numpy(np.stack([_vary(faces.pictures[i], rng) for i in index])).permute(0, 3, 1, 2).to(device)
        )
        emotion = torch.from_numpy(faces.emotion[index]).to(device)
        logits, strength = model(batch.float() / 255)
        return reading_loss(logits, strength, emotion, torch.from_numpy(faces.intensity[index]).to(device)), {
            "accuracy": (logits.argmax(-1) == emotion).float().mean().item()
        }

    metrics = train_expert(model, loss_of_batch, Budget(steps, minutes), 1.5e-3)
    out_dir.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(out_dir)
    return metrics | evaluate_face_emotion(load_face_emotion(out_dir), load_faces(corpus, cache, ("val", "test")))


@torch.no_grad()
def evaluate_face_emotion(model: FaceEmotion, faces: Faces) -> dict[str, float]:
    """Accuracy of `model` on `faces`, see `train_face_emotion`."""
    inner = faces.pictures[:, MARGIN : MARGIN + SIDE, MARGIN : MARGIN + SIDE]
    parts = [
        model(torch.from_numpy(np.ascontiguousarray(inner[i : i + 256])).permute(0, 3, 1, 2).float() / 255)
        for i in range(0, len(inner), 256)
    ]
    logs = torch.cat([logits for logits, _ in parts]).log_softmax(-1).numpy()
    strength = torch.cat([strength for _, strength in parts]).numpy()
    clips = np.unique(faces.clip)
    votes = np.array([logs[faces.clip == clip].mean(0).argmax() for clip in clips])
    levels = np.array([strength[faces.clip == clip].mean() for clip in clips])
    first = np.array([np.flatnonzero(faces.clip == clip)[0] for clip in clips])
    right, intensity = votes == faces.emotion[first], faces.intensity[first]
    return {
        "frame_accuracy": float((logs.argmax(-1) == faces.emotion).mean()),
        "clip_accuracy": float(right.mean()),
        "clip_accuracy_clear": float(right[intensity >= 2].mean()) if (intensity >= 2).any() else float("nan"),
        "intensity_error": float(np.abs(levels - intensity).mean()),
        "clips": len(clips),
    }


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
) -> dict[str, float]:
    """Train both recognisers into `out_dir`/face and `out_dir`/voice, each for `steps` or half of the `minutes`.

    Returns their measures, named face_… and voice_….
    """
    half = None if minutes is None else minutes / 2
    face = train_face_emotion(corpus, out_dir / "face", steps=steps, minutes=half, device=device, seed=seed)
    voice = train_voice_emotion(out_dir / "voice", steps=steps, minutes=half, seed=seed)
    named = {f"face_{name}": value for name, value in face.items()}
    return named | {f"voice_{name}": value for name, value in voice.items()}
