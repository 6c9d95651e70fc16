"""One picture that shows what each condition does: people by row, emotions and words by column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.emotion import EMOTIONS
from models.pipeline import DubPipeline, load_pipeline
from models.speech import encode_speech
from storage.atomic import written_aside
from tasks.captions import sentence
from tasks.config import Config
from tasks.evaluate_render import Frames, held_out, other_sound, render_clip
from tasks.experts import speech_of
from tasks.training.data import Rows, TrainingClip

FRAME = 12
"""The frame of each clip that is shown: the mouth is under way."""
MARGIN, STRIP = 4, 18
_INK, _PAPER = (32, 32, 32), 255


def control_grid(
    pipeline: DubPipeline,
    clips: Sequence[TrainingClip],
    features: Sequence[torch.Tensor],
    config: Config,
    seed: int = 0,
    intensity: int = 3,
) -> NDArray[np.uint8]:
    """A row for each clip: the clip itself, its own sound, another sound, another person, then the eight emotions.

    Each picture differs from the second one by one condition alone. uint8 RGB [H,W,3].
    """
    whole = bool(pipeline.config.whole_face)
    rows = []
    for number, clip in enumerate(clips):
        other = (number + 1) % len(clips)

        def made(sound: torch.Tensor, **changes: Any) -> Frames:
            return render_clip(pipeline, clip, sound, config, seed, frames=FRAME + 1, **changes)  # noqa: B023

        own = features[number]
        pictures = [
            clip.frames[min(FRAME, len(clip) - 1)],
            made(own)[-1],
            made(other_sound(features[other], own, from_middle=True))[-1],
            made(own, person=clips[other], whole_face=whole)[-1],
        ]
        for emotion in EMOTIONS if pipeline.emotion_control is not None else ():
            text = sentence(emotion, 0 if emotion == "neutral" else intensity)
            pictures.append(made(own, emotion=text, whole_face=whole)[-1])
        rows.append(pictures)
    titles = ["clip", "own sound", "other sound", "other person", *EMOTIONS][: len(rows[0])]
    return sheet(rows, titles)


def held_out_grid(model: str | Path, dataset: Rows, config: Config, rows: int = 3) -> NDArray[np.uint8]:
    """`control_grid` of a pipeline in a folder on the first `rows` held-out clips of a dataset.

    Raises:
        NotFound: no usable clip in the split.
    """
    pipeline = load_pipeline(model)
    clips = held_out(dataset, config.with_({"evaluate.clips": rows}))
    speech = speech_of(pipeline, config)
    return control_grid(pipeline, clips, [encode_speech(speech, clip.audio) for clip in clips], config)


def sheet(rows: Sequence[Sequence[NDArray[np.uint8]]], titles: Sequence[str]) -> NDArray[np.uint8]:
    """Pictures [S,S,3] in rows and columns, with a title over each column."""
    size = rows[0][0].shape[0]
    step = size + MARGIN
    page = np.full((STRIP + step * len(rows) + MARGIN, step * len(titles) + MARGIN, 3), _PAPER, np.uint8)
    for column, title in enumerate(titles):
        place = (MARGIN + column * step + 2, STRIP - 5)
        cv2.putText(page, title, place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, _INK, 1, cv2.LINE_AA)
        for line, pictures in enumerate(rows):
            top, left = STRIP + line * step, MARGIN + column * step
            page[top : top + size, left : left + size] = pictures[column]
    return page


def write_sheet(path: str | Path, page: NDArray[np.uint8]) -> None:
    """A sheet as JPEG or PNG, whole or not at all."""
    coded = cv2.imencode(Path(path).suffix, np.ascontiguousarray(page[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    with written_aside(Path(path)) as partial:
        partial.write_bytes(coded.tobytes())
