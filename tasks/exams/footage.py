"""What the exams of the picture steps are filmed with: studio people, grain, an encoder, things that pass."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from storage import media
from tasks.exams.registry import FIRST_SEED
from tasks.studio.acting import Style
from tasks.studio.controls import Controls
from tasks.studio.render import Rendered, Scene, render
from tasks.studio.takes import MOODS, plan_take

Frames = NDArray[np.uint8]
FPS = 25
FRAMING = (0.62, 0.80)


@dataclass
class Scripted:
    """One person before one camera: `scene`, and what the face does, `controls` [T] at `FPS`."""

    scene: Scene
    controls: Controls

    def film(self, size: tuple[int, int]) -> Rendered:
        """Rendered at `size` (width, height), with the truth."""
        return render(self.scene, self.controls, size, compile_field=True)


def person_seed(seed: int, person: int) -> int:
    """Identity of the `person`-th of an exam's people; those of two seeds of an exam differ, none was trained on."""
    return FIRST_SEED + 100 * seed + person


def script(
    seed: int,
    person: int,
    frames: int,
    *,
    take: int = 0,
    framing: tuple[float, float] = FRAMING,
    style: Style | None = None,
    at: Sequence[float] | None = None,
) -> Scripted:
    """A talking person in some mood.

    Args:
        take: another one has another light, camera and backdrop, and other words.
        style: where the head rests and how lively it is; drawn where None.
        at: times in seconds of the frames within the take; one after the other at `FPS` where None.
    """
    times = np.arange(frames) / FPS if at is None else np.asarray(at, dtype=np.float64)
    mood = MOODS[(7 * person + 3 * take) % len(MOODS)]
    length = max(2.0, float(times[-1]) + 0.5)
    planned = plan_take(person_seed(seed, person), take, mood, length, "test", framing)
    if style is not None:
        planned = replace(planned, style=style)
    return Scripted(planned.scene, planned.controls(times))


def grain(frames: Frames, sigma: float, rng: np.random.Generator) -> Frames:
    """A sensor's noise: `sigma` grey levels in the middle tones, less in the dark."""
    out = np.empty_like(frames)
    for i, frame in enumerate(frames):
        level = sigma * np.sqrt(0.25 + frame.astype(np.float32) / 170)
        noise = rng.standard_normal(frame.shape, dtype=np.float32)
        out[i] = np.clip(np.round(frame + level * noise), 0, 255)
    return out


def through_the_encoder(frames: Frames, crf: float = 23) -> Frames:
    """Frames as they come back from an H.264 file of that quality."""
    with tempfile.TemporaryDirectory(prefix="dubwright-exam-") as folder:
        path = media.write_video(Path(folder) / "film.mp4", list(frames), FPS, crf=crf, threads=1)
        return np.stack([frame for _, _, frame in media.iter_frames(path, threads=1)])


def hand(size: tuple[int, int], palm: tuple[float, float], scale: float, angle: float) -> NDArray[np.float32]:
    """Coverage float32 [H,W] 0..1 of a hand: a palm at `palm` of radius `scale` px, four fingers along `angle` rad."""
    width, height = size
    cover = np.zeros((height, width), np.uint8)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    centre = np.array(palm)

    def stroke(start: NDArray, end: NDArray, thick: float) -> None:
        points = [tuple(np.round(16 * point).astype(int).tolist()) for point in (start, end)]
        cv2.line(cover, points[0], points[1], 255, max(1, round(thick)), cv2.LINE_AA, shift=4)

    for place, reach in ((-0.75, 1.7), (-0.25, 2.0), (0.25, 1.9), (0.75, 1.5)):
        root = centre + place * scale * across
        stroke(root, root + reach * scale * along, 0.5 * scale)
    stroke(centre, centre - 0.4 * scale * along - 1.5 * scale * across, 0.6 * scale)  # the thumb
    stroke(centre - 3 * scale * along, centre, 1.7 * scale)  # the wrist
    cv2.circle(
        cover, tuple(np.round(16 * centre).astype(int).tolist()), round(16 * 1.1 * scale), 255, -1, cv2.LINE_AA, 4
    )
    return cover.astype(np.float32) / np.float32(255)


def over(frame: Frames, cover: NDArray[np.float32], colour: NDArray) -> Frames:
    """`colour` [3] (or a picture [H,W,3]) in front of a frame uint8 [H,W,3] where `cover` [H,W] says so."""
    weight = cover[..., None]
    return np.round(frame * (1 - weight) + np.asarray(colour, np.float32) * weight).astype(np.uint8)
