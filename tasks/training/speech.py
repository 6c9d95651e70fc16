"""Trains the speech encoder: hear the lips.

The studio speaks thousands of sentences in many voices, languages, tempi and moods, and knows for each what the
lips did (tasks/studio/visemes.py). The encoder learns those articulation curves from sound
alone; no picture is needed. What it learns on the way is what the denoiser's audio tokens are made of.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.speech import ARTICULATORS, FEATURE_RATE, SpeechEncoder, log_mel
from tasks.studio.controls import EMOTIONS
from tasks.studio.sentences import sample_sentence
from tasks.studio.speech import FEMININE, LANGUAGES, MASCULINE, SAMPLE_RATE, Speech, join, sample_voice, speak
from tasks.studio.visemes import articulation
from tasks.training.augment import record, stretch

HELD_OUT_VOICES = ("f4", "Andrea", "steph", "m4", "Lee", "john", "robert")
"""Voice variants that no training utterance uses."""
CURVE_RATE = 100
SEGMENT_S = 4.0


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


def _batches(utterances: list[Utterance], size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    rng = np.random.default_rng(seed)
    while True:
        pairs = [draw(utterances, rng) for _ in range(size)]
        mel = np.stack([log_mel(audio) for audio, _ in pairs])
        yield torch.from_numpy(mel), torch.from_numpy(np.stack([curves for _, curves in pairs]))


def articulation_loss(predicted: Tensor, target: Tensor, scale: Tensor) -> Tensor:
    """Squared error of curves [B, T, 6] and of their speed, each articulator in units of its own spread `scale` [6]."""
    error = (predicted - target) / scale
    speed = error[:, 1:] - error[:, :-1]
    return error.square().mean() + 2 * speed.square().mean()


def train_speech(
    out_dir: Path,
    minutes: float = 7.0,
    hours: float = 1.5,
    batch_size: int = 16,
    width: int = 192,
    learning_rate: float = 1.5e-3,
    device: str = "cpu",
    seed: int = 0,
) -> dict[str, float]:
    """Train an encoder for `minutes` (speaking the corpus comes on top, about a minute an hour) and save it.

    Args:
        out_dir: receives config.json and safetensors (float16).
    Returns:
        steps, loss, and `evaluate_speech` on voices and sentences never heard in training.
    """
    torch.manual_seed(seed)
    utterances = make_utterances(hours * 3600, "train", seed)
    encoder = SpeechEncoder(width=width).to(device).train()
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=learning_rate, weight_decay=0.02)
    curves = np.concatenate([u.curves for u in utterances]).astype(np.float32)
    scale = torch.from_numpy(curves.std(axis=0) + 0.02).to(device)
    start, steps, smooth = time.monotonic(), 0, 0.0
    for mel, target in _batches(utterances, batch_size, seed + 1):
        spent = (time.monotonic() - start) / (60 * minutes)
        if spent >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (steps + 1) / 50) * (0.5 * (1 + np.cos(np.pi * spent)) + 0.01)
        loss = articulation_loss(encoder.articulation(encoder(mel.to(device))), target.to(device), scale)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        steps += 1
        smooth = 0.97 * smooth + 0.03 * loss.item() if steps > 1 else loss.item()
    out_dir.mkdir(parents=True, exist_ok=True)
    encoder.half().save_pretrained(out_dir)
    held_out = make_utterances(240, "test", seed)
    return {"steps": steps, "loss": smooth, **evaluate_speech(encoder.float().cpu().eval(), held_out)}


@torch.no_grad()
def evaluate_speech(encoder: SpeechEncoder, utterances: list[Utterance]) -> dict[str, float]:
    """Correlation of each predicted articulator with the truth over clean `utterances`, and of the jaw when noisy."""
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
