"""Talking mouths for the sync expert: cut once out of a rendered corpus, then shown under ever new conditions.

One npz a clip holds the mouths at 25 fps with a margin round them, the sound, and what the mouth really did. The crops
follow the true points; `show` adds the errors of a detector, and the light and colours of other cameras.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.sync import FPS, MOUTH, nominal_frames
from storage import media
from storage.atomic import written_aside
from tasks.crops import crop_matrix, smooth_matrices, warp
from tasks.studio.clip_files import read_manifest, read_truth

MARGIN = 12
HEIGHT, WIDTH = MOUTH[1] - MOUTH[0], MOUTH[3] - MOUTH[2]
_SIDE = WIDTH + 2 * MARGIN


@dataclass(frozen=True)
class TalkingMouth:
    """A clip at 25 fps. frames uint8 [T, 80, 108, 3]; audio int16 [N] at 16 kHz, sample 0 at frame 0; cues float16
    [T, 7]: mouth opening in eye distances and the six articulators."""

    frames: NDArray[np.uint8]
    audio: NDArray[np.int16]
    cues: NDArray[np.float16]
    identity: int
    split: str


def cut_mouths(video: Path, kps: NDArray[Any], smooth: bool = False) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Mouths uint8 [T', 80, 108, 3] of a video at 25 fps and the frame index of each, from the points [T, 5, 2]."""
    pts = media.frame_times(video)[: len(kps)]
    matrices = np.stack([crop_matrix(points) for points in kps[: len(pts)]])
    if smooth:
        matrices = smooth_matrices(matrices, pts)
    index = nominal_frames(pts)
    wanted: dict[int, list[int]] = {}
    for position, frame in enumerate(index):
        wanted.setdefault(int(frame), []).append(position)
    mouths = np.zeros((len(index), HEIGHT + 2 * MARGIN, _SIDE, 3), np.uint8)
    for number, _, frame in media.iter_frames(video):
        for position in wanted.get(number, ()):
            matrix = matrices[number].copy()
            matrix[:, 2] -= (MOUTH[2] - MARGIN, MOUTH[0] - MARGIN)
            mouths[position] = warp(frame, matrix, _SIDE)[: HEIGHT + 2 * MARGIN]
    return mouths, index


def load_mouths(corpus: Path, cache: Path, splits: Sequence[str] = ("train",)) -> list[TalkingMouth]:
    """The clips of `splits` in a corpus of tasks/studio/corpus.py; cut mouths are kept under `cache`."""
    cache.mkdir(parents=True, exist_ok=True)
    clips = []
    for row in read_manifest(corpus):
        if row["split"] not in splits:
            continue
        kept = cache / f"{row['clip']}.npz"
        if not kept.is_file():
            truth = read_truth(corpus / row["truth"]).arrays
            frames, index = cut_mouths(corpus / row["video"], truth["kps"])
            cues = np.concatenate([truth["mouth_opening"][:, None], truth["articulation"]], axis=1)[index]
            start_s = float(media.frame_times(corpus / row["video"])[0])
            sound = media.read_audio(corpus / row["audio"], start_s=start_s)
            with written_aside(kept) as partial, partial.open("wb") as file:
                np.savez(file, frames=frames, audio=(sound * 32767).astype(np.int16), cues=cues.astype(np.float16))
        with np.load(kept) as saved:
            identity, split = int(row["identity_seed"]), str(row["split"])
            clips.append(TalkingMouth(saved["frames"], saved["audio"], saved["cues"], identity, split))
    return clips


def show(frames: NDArray[np.uint8], rng: np.random.Generator | None) -> NDArray[np.float32]:
    """Mouths uint8 [T, 80, 108, 3] → float32 [T, 3, 56, 84] in -1..1; with `rng` as other cameras see them.

    One shift, scale, turn, mirror, colour, blur for the clip, and a tremble of every frame: what a detector does.
    """
    if rng is None:
        plain = frames[:, MARGIN : MARGIN + HEIGHT, MARGIN : MARGIN + WIDTH]
        return np.ascontiguousarray(plain.transpose(0, 3, 1, 2), dtype=np.float32) / 127.5 - 1
    centre = np.array([WIDTH / 2 + MARGIN, HEIGHT / 2 + MARGIN])
    turn, scale = rng.normal(0, 0.045), float(np.exp(rng.normal(0, 0.05)))
    shift = rng.normal(0, 2.0, 2)
    tremble = rng.uniform(0, 0.6)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    blur = rng.uniform(0.3, 1.3) if rng.random() < 0.35 else 0.0
    table, grey = _colours(float(frames.mean()), rng), rng.random() < 0.15
    level = rng.uniform(0, 8) if rng.random() < 0.5 else 0.0
    grain = rng.normal(0, level, (HEIGHT + 16, WIDTH + 16, 3)).astype(np.int16)
    out = np.empty((len(frames), HEIGHT, WIDTH, 3), np.uint8)
    for i, frame in enumerate(frames):
        angle, size = turn + rng.normal(0, 0.008) * tremble, scale * float(np.exp(rng.normal(0, 0.01) * tremble))
        rotation = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        rotation[0] *= mirror
        target = np.array([WIDTH / 2, HEIGHT / 2]) - 0.5 + shift + rng.normal(0, 1, 2) * tremble
        matrix = np.concatenate([rotation, (target - rotation @ (centre - 0.5))[:, None]], axis=1)
        seen = cv2.warpAffine(frame, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        if blur:
            seen = cv2.GaussianBlur(seen, (0, 0), blur)
        seen = cv2.LUT(seen, table)
        if grey:
            seen = cv2.cvtColor(cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        if level:
            y, x = rng.integers(0, 16, 2)
            seen = np.clip(seen + grain[y : y + HEIGHT, x : x + WIDTH], 0, 255)
        out[i] = seen
    return np.ascontiguousarray(out.transpose(0, 3, 1, 2), dtype=np.float32) / 127.5 - 1


def _colours(mean: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A camera's curve as a table uint8 [1, 256, 3]: gamma, contrast round `mean`, exposure of each channel."""
    value = np.linspace(0, 1, 256)[:, None] ** float(np.exp(rng.normal(0, 0.2)))
    middle = (mean / 255) * np.exp(rng.normal(0, 0.15, 3))
    value = (value - mean / 255) * float(np.exp(rng.normal(0, 0.2))) + middle
    return (np.clip(value, 0, 1) * 255 + 0.5).astype(np.uint8)[None]


def seconds(clips: Sequence[TalkingMouth]) -> float:
    return sum(len(clip.frames) for clip in clips) / FPS
