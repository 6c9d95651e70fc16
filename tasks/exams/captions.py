"""Is the caption right? Emotion and intensity of captions written from measurements alone, against what was acted."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from tasks.caption_writing import write_caption
from tasks.config import Config
from tasks.exams.acted import Acted, acted, person
from tasks.exams.registry import Finding
from tasks.experts import Experts
from tasks.feelings import read_emotion
from tasks.quality import head_pose
from tasks.speech import prosody
from tasks.studio.controls import EMOTIONS
from tasks.studio.takes import MOODS

ROUNDS, FRAMES, SECONDS = 5, 12, 3.0
"""Clips of each mood, frames seen of each (spread over it), and its length."""
QUICK_MOODS, QUICK_FRAMES = tuple((emotion, 0 if emotion == "neutral" else 2) for emotion in EMOTIONS), 3
EMOTION_ASKED, INTENSITY_ASKED = 0.85, 0.90


def exam(config: Config, experts: Experts, quick: bool, seed: int) -> list[Finding]:
    """Share of clips whose caption reads as the emotion that was acted, and within one level of its intensity.

    Every clip is another person; face and voice act the same mood, as in the training corpora.
    """
    moods = QUICK_MOODS if quick else MOODS * ROUNDS
    frames = QUICK_FRAMES if quick else FRAMES
    times = np.linspace(0.0, SECONDS - 0.04, frames)
    asked: list[tuple[str, int]] = []
    told: list[tuple[str, int]] = []
    for number, mood in enumerate(moods):
        clip = acted(
            person(seed, number), 0, mood, times, experts.faces, crop_size=config.preprocess.crop_size,
            seconds=SECONDS, compiled=not quick,
        )  # fmt: skip
        if clip is not None:
            asked.append(mood)
            told.append(_caption(clip, config, experts))
    return _findings(asked, told)


def _caption(clip: Acted, config: Config, experts: Experts) -> tuple[str, int]:
    """What the measured caption of a clip says, as the text encoder reads it."""
    units = None
    if experts.action_units is not None:
        import torch

        units = experts.action_units.read(torch.from_numpy(clip.crops).permute(0, 3, 1, 2)).numpy()
    reading = read_emotion(list(clip.crops), clip.audio, experts, units)
    written = write_caption(
        reading, prosody(clip.audio), head_pose(clip.kps), clip.pts, clip.opening, units, {},
        config.captions.model_copy(update={"model": "none"}), experts,
    )  # fmt: skip
    if experts.text is None:
        return str(written["emotion"]), int(written["intensity"])
    read = experts.text.emotion_of(written["caption"])
    return read.emotion, read.intensity


def _findings(asked: list[tuple[str, int]], told: list[tuple[str, int]]) -> list[Finding]:
    right = np.array([a[0] == b[0] for a, b in zip(asked, told, strict=True)])
    level = np.array([abs(a[1] - b[1]) for a, b in zip(asked, told, strict=True)])
    by_emotion: dict[str, list[bool]] = defaultdict(list)
    by_level: dict[int, list[bool]] = defaultdict(list)
    for (emotion, intensity), ok in zip(asked, right.tolist(), strict=True):
        by_emotion[emotion].append(ok)
        by_level[intensity].append(ok)
    chance = max(Counter(emotion for emotion, _ in asked).values()) / len(asked)
    found = [
        Finding("emotion right", float(right.mean()), EMOTION_ASKED, "share", cases=len(asked),
                note=f"chance {chance:.2f}"),
        Finding("intensity within one level", float((level <= 1).mean()), INTENSITY_ASKED, "share", cases=len(asked)),
        Finding("intensity exact", float((level == 0).mean()), None, "share", cases=len(asked)),
    ]  # fmt: skip
    for emotion in EMOTIONS:
        oks = by_emotion[emotion]
        if oks:
            taken = Counter(b[0] for a, b in zip(asked, told, strict=True) if a[0] == emotion and b[0] != emotion)
            note = ", ".join(f"{name} {count}" for name, count in taken.most_common(3))
            note = f"taken for {note}" if note else ""
            found.append(Finding(f"{emotion} right", float(np.mean(oks)), None, "share", cases=len(oks), note=note))
    for intensity, oks in sorted(by_level.items()):
        name = f"emotion right at intensity {intensity}"
        found.append(Finding(name, float(np.mean(oks)), None, "share", cases=len(oks)))
    return found
