"""Trains the speech encoder: hear the lips.

The studio speaks thousands of sentences in many voices, languages, tempi and moods, and knows for each what the
lips did (tasks/studio/visemes.py). The encoder learns those articulation curves from sound
alone; no picture is needed. What it learns on the way is what the denoiser's audio tokens are made of.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.saving import save_model
from models.speech import ARTICULATORS, FEATURE_RATE, SpeechEncoder, WhisperEncoder, load_speech_encoder, log_mel
from tasks.studio.controls import EMOTIONS
from tasks.studio.sentences import sample_sentence
from tasks.studio.speech import FEMININE, LANGUAGES, MASCULINE, SAMPLE_RATE, Speech, join, sample_voice, speak
from tasks.studio.visemes import articulation
from tasks.training.augment import record, stretch
from tasks.training.expert_loop import Budget, train_expert

HELD_OUT_VOICES = ("f4", "Andrea", "steph", "m4", "Lee", "john", "robert")
"""Voice variants that no training utterance uses."""
CURVE_RATE = 100
SEGMENT_S = 4.0
STEPS = 4500
"""What the shipped encoder took, where neither steps nor minutes are given."""


@dataclass(frozen=True)
class Utterance:
    """A spoken passage: audio int16 [N] at 16 kHz, articulation float16 [N / 160, 6] at 100 Hz."""

    audio: NDArray[np.int16]
    curves: NDArray[np.float16]

    @property
    def seconds(self) -> float:
        return len(self.audio) / SAMPLE_RATE


def sample_speech(rng: np.random.Generator, split: str, seconds: float) -> Speech:
    """A random passage of at least `seconds`: one voice of the split, one language, one mood."""
    language = "en" if rng.random() < 0.4 else str(rng.choice(LANGUAGES))
    voice = sample_voice(rng, language)
    if (voice.variant in HELD_OUT_VOICES) == (split == "train"):
        names = [v for v in FEMININE + MASCULINE if (v in HELD_OUT_VOICES) == (split != "train")]
        voice = replace(voice, variant=str(rng.choice(names)))
    voice = replace(voice, rate=int(np.clip(rng.normal(160, 26), 100, 240)))
    emotion = str(rng.choice(EMOTIONS))
    intensity = int(rng.integers(1, 4))
    parts, length = [], 0.0
    while length < seconds:
        part = speak(sample_sentence(rng, language, split), voice, emotion=emotion, intensity=intensity)
        parts.append(part)
        length += part.duration_s
    return join(parts, pause_s=float(rng.uniform(0.05, 0.8)))


def make_utterances(seconds: float, split: str, seed: int = 0, each_s: float = 20.0) -> list[Utterance]:
    """Speak about `seconds` of passages of a split ("train": other voices and sentences than "val" and "test")."""
    rng = np.random.default_rng([seed, ("train", "val", "test").index(split)])
    utterances: list[Utterance] = []
    while sum(u.seconds for u in utterances) < seconds:
        speech = sample_speech(rng, split, each_s)
        times = np.arange(int(speech.duration_s * CURVE_RATE)) / CURVE_RATE
        audio = (speech.audio * 32767).astype(np.int16)
        utterances.append(Utterance(audio, articulation(speech, times).astype(np.float16)))
    return utterances


def draw(
    utterances: list[Utterance], rng: np.random.Generator, seconds: float = SEGMENT_S
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A random stretch, recorded anyhow: audio float32 [16000 s], curves float32 [50 s, 6] at 50 Hz."""
    weights = np.array([u.seconds for u in utterances])
    utterance, other = (utterances[i] for i in rng.choice(len(utterances), 2, p=weights / weights.sum()))
    factor = float(np.exp(rng.normal(0, 0.09))) if rng.random() < 0.6 else 1.0
    length = int(np.ceil(seconds * factor * SAMPLE_RATE)) + 160
    start = int(rng.integers(0, max(1, len(utterance.audio) - length)))
    audio = utterance.audio[start : start + length].astype(np.float32) / 32768
    audio = stretch(audio, factor) if factor != 1.0 else audio
    samples = int(seconds * SAMPLE_RATE)
    audio = np.pad(audio[:samples], (0, max(0, samples - len(audio))))
    times = start / SAMPLE_RATE + np.arange(int(seconds * FEATURE_RATE)) / FEATURE_RATE * factor
    at = np.arange(len(utterance.curves)) / CURVE_RATE
    curves = np.stack([np.interp(times, at, column, right=0) for column in utterance.curves.T.astype(np.float32)], -1)
    return record(audio, rng, other.audio[:samples].astype(np.float32) / 32768), curves.astype(np.float32)


def articulation_loss(predicted: Tensor, target: Tensor, scale: Tensor) -> Tensor:
    """Squared error of curves [B, T, 6] and of their speed, each articulator in units of its own spread `scale` [6]."""
    error = (predicted - target) / scale
    speed = error[:, 1:] - error[:, :-1]
    return error.square().mean() + 2 * speed.square().mean()


def train_speech(
    out_dir: Path,
    steps: int | None = None,
    minutes: float | None = None,
    hours: float = 3.0,
    batch_size: int = 8,
    width: int = 192,
    learning_rate: float = 2e-3,
    init: Path | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> dict[str, float]:
    """Train an encoder for `steps` or `minutes`, whichever ends first, and save it. Speaking the corpus comes on top.

    Args:
        out_dir: receives config.json and safetensors (float16).
        hours: of speech to learn from (half a minute each to speak).
        init: an encoder to go on from; then use a smaller `learning_rate`.
    Returns:
        steps, loss, and `evaluate_speech` on voices and sentences never heard in training.
    """
    steps = STEPS if steps is None and minutes is None else steps
    torch.manual_seed(seed)
    utterances = make_utterances(hours * 3600, "train", seed)
    encoder = SpeechEncoder(width=width)
    if init is not None:
        encoder = SpeechEncoder.from_pretrained(
            str(init), use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
        ).float()
    encoder.requires_grad_(True).to(device)
    curves = np.concatenate([u.curves for u in utterances]).astype(np.float32)
    scale = torch.from_numpy(curves.std(axis=0) + 0.02).to(device)
    rng = np.random.default_rng(seed + 1)

    def loss_of_batch(progress: float) -> tuple[Tensor, dict[str, float]]:
        pairs = [draw(utterances, rng) for _ in range(batch_size)]
        mel = torch.from_numpy(np.stack([log_mel(audio) for audio, _ in pairs])).to(device)
        target = torch.from_numpy(np.stack([curves for _, curves in pairs])).to(device)
        return articulation_loss(encoder.articulation(encoder(mel)), target, scale), {}

    metrics = train_expert(encoder, loss_of_batch, Budget(steps, minutes), learning_rate)
    out_dir.mkdir(parents=True, exist_ok=True)
    save_model(encoder.half(), out_dir)
    return metrics | evaluate_speech(load_speech_encoder(out_dir), make_utterances(300, "test", seed))


@torch.no_grad()
def evaluate_speech(encoder: SpeechEncoder | WhisperEncoder, utterances: list[Utterance]) -> dict[str, float]:
    """Correlation of each predicted articulator with the truth over clean `utterances`, and of the jaw when noisy."""
    if isinstance(encoder, WhisperEncoder):
        raise TypeError("a whisper checkpoint has no articulation head")
    rng = np.random.default_rng(0)
    pairs = []
    for utterance in utterances:
        audio = utterance.audio.astype(np.float32) / 32768
        heard = [
            encoder.articulation(encoder(torch.from_numpy(log_mel(sound))[None]))[0]
            for sound in (audio, record(audio, rng))
        ]
        truth = utterance.curves.astype(np.float32)[:: CURVE_RATE // FEATURE_RATE]
        count = min(len(truth), len(heard[0]))
        pairs.append((truth[:count], heard[0][:count].numpy(), heard[1][:count].numpy()))
    truth, clean, noisy = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    metrics = {f"r_{name}": float(np.corrcoef(truth[:, i], clean[:, i])[0, 1]) for i, name in enumerate(ARTICULATORS)}
    metrics["r_jaw_noisy"] = float(np.corrcoef(truth[:, 0], noisy[:, 0])[0, 1])
    return metrics
