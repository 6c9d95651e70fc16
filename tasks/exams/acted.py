"""Studio people who act, as the training corpora do, but nobody that was trained on: clips with their truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.faces import FaceAnalyzer
from tasks import crops
from tasks.exams.registry import FIRST_SEED
from tasks.studio.controls import Controls
from tasks.studio.corpus import FRAMING
from tasks.studio.render import render
from tasks.studio.takes import Take, plan_take, room_sound

COMPILED_FROM = 300
"""Frames of an exam from which building the renderer's kernel pays."""
STRIDE = 10_000
"""People between those of one seed of an exam and those of the next."""


@dataclass
class Acted:
    """A clip as preprocessing sees it: frames uint8 [T,H,W,3] and pts [T] s of those in which the detector found the
    face, its kps float32 [T,5,2], aligned crops uint8 [T,S,S,3], audio float32 [N] at 16 kHz; take and controls [T] are
    the truth, opening [T] is the mouth's.
    """

    take: Take
    frames: NDArray[np.uint8]
    pts: NDArray[np.float64]
    kps: NDArray[np.float32]
    crops: NDArray[np.uint8]
    opening: NDArray[np.float32]
    audio: NDArray[np.float32]
    controls: Controls


def person(seed: int, number: int) -> int:
    """Identity of the `number`-th person of an exam with `seed`."""
    return FIRST_SEED + STRIDE * seed + number


def acted(
    identity: int,
    number: int,
    mood: tuple[str, int],
    times: NDArray[np.float64],
    faces: FaceAnalyzer,
    *,
    size: int = 160,
    crop_size: int = 128,
    seconds: float = 3.0,
    compiled: bool = False,
    **planned: Any,
) -> Acted | None:
    """Take `number` of a person in `mood`, seen at `times` within `seconds`; None where the detector finds no face."""
    take = plan_take(identity, number, mood, seconds, "test", FRAMING, **planned)
    controls = take.controls(times)
    film = render(take.scene, controls, (size, size), compile_field=compiled)
    found = [(place, face.kps) for place, face in _faces(film.frames, faces)]
    if not found:
        return None
    seen = np.array([place for place, _ in found])
    kps = np.stack([points for _, points in found])
    cut = [crops.warp(film.frames[place], crops.crop_matrix(points, crop_size), crop_size) for place, points in found]
    return Acted(
        take, film.frames[seen], times[seen], kps, np.stack(cut), film.mouth_opening[seen],
        room_sound(take.speech, take.seed), Controls(*(part[seen] for part in controls.to_arrays().values())),
    )  # fmt: skip


def _faces(frames: NDArray[np.uint8], analyzer: FaceAnalyzer) -> Iterator[tuple[int, Any]]:
    """The largest face of each frame that has one."""
    for place, frame in enumerate(frames):
        found = analyzer.detect(frame, embed=False)
        if found:
            yield place, max(found, key=lambda face: face.size)
