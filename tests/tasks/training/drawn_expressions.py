"""Drawn faces in the format of tasks/training/expressions.py: mouth corners, brows and lids show the state."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from models.landmarks106 import MEAN_SHAPE
from tasks.crops import TEMPLATE
from tasks.studio.controls import AUS, EMOTIONS, emotion_aus
from tasks.training.expressions import STATES


def draw_expression(aus: np.ndarray, skin: int, opening: float) -> np.ndarray:
    """uint8 RGB [128,128,3] of a face with these action units [20]."""
    au = dict(zip(AUS, aus, strict=True))
    canvas = np.full((128, 128, 3), skin, np.uint8)
    for x in (44, 84):
        cv2.circle(canvas, (x, 51), 3 + round(4 * float(au["AU5"])), (30, 30, 60), -1)
        inner = -1 if x == 84 else 1
        ends = ((x - 12, 38 - round(8 * float(au["AU2"]))), (x + 12, 38 - round(8 * float(au["AU1"]))))
        shift = round(7 * float(au["AU4"]))
        cv2.line(canvas, ends[0], (ends[1][0], ends[1][1] + inner * shift), (60, 40, 20), 3)
    left, right = (round(12 * float(au[name] - au["AU15"])) for name in ("AU12R", "AU12L"))
    width = 18 + round(10 * float(au["AU20"]))
    lip = np.array([(64 - width, 96 - left), (64, 96), (64 + width, 96 - right)])
    cv2.polylines(canvas, [lip], False, (140, 20, 40), 4)
    cv2.ellipse(canvas, (64, 102), (12, 2 + round(14 * (opening + float(au["AU26"])))), 0, 0, 360, (60, 10, 20), -1)
    cv2.line(canvas, (54, 78), (74, 78), (90, 60, 50), 1 + round(6 * float(au["AU9"])))
    cv2.line(canvas, (40, 110), (52, 104), (90, 60, 50), 1 + round(6 * float(au["AU14L"])))
    cv2.circle(canvas, (64, 120), 1 + round(6 * float(au["AU23"])), (90, 40, 40), -1)
    return canvas


def write_person(folder: Path, person: int, other: bool = False) -> Path:
    """The 22 states of a person, one file; with `other` all neutral but for the mouth's opening."""
    rng = np.random.default_rng(person)
    skin, opening = int(rng.integers(120, 220)), rng.uniform(0, 0.6, len(STATES))
    states = [("neutral", 0)] * len(STATES) if other else list(STATES)
    aus = np.stack([emotion_aus(*state) for state in states])
    pictures = [draw_expression(row, skin, value) for row, value in zip(aus, opening, strict=True)]
    coded = [cv2.imencode(".png", picture[..., ::-1])[1].reshape(-1) for picture in pictures]
    count = len(states)
    kps = np.concatenate([TEMPLATE * 128, [[46, 96], [82, 96]]]).astype(np.float32)
    path = folder / f"{'other' if other else 'person'}-{person:06d}.npz"
    with path.open("wb") as file:
        np.savez(
            file,
            pictures=np.concatenate(coded),
            picture_ends=np.cumsum([len(code) for code in coded]),
            aus=aus,
            articulation=np.zeros((count, 6), np.float32),
            emotion=np.array([EMOTIONS.index(emotion) for emotion, _ in states]),
            intensity=np.array([level for _, level in states]),
            landmarks=np.repeat(MEAN_SHAPE[None].astype(np.float32), count, 0),
            kps=np.repeat(kps[None], count, 0),
            mouth_opening=opening.astype(np.float32),
            person=np.int64(person),
        )
    return path
