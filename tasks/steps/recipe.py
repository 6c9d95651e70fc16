"""The recipe: which steps there are, in their order, what each reads and what shapes it."""

from __future__ import annotations

from tasks.config import Config
from tasks.steps import cropping, measuring, tracking
from tasks.steps.step import Step

TRACKS, CROPS = "tracks", "crops"
"""The two steps that read the film."""

STEPS: tuple[Step, ...] = (
    Step(TRACKS, tracking.FIELDS, ("picture",), ("faces", "shots", "tracks", "preprocess.max_clip_s"), ("faces",)),
    Step(
        CROPS, cropping.FIELDS, (TRACKS,), ("preprocess.crop_size", "preprocess.jpeg_quality"), ("faces",)
    ),
    Step(
        "sync", measuring.SYNC_FIELDS, (CROPS, "sound"), ("preprocess.max_sync_offset",), ("sync",), measuring.sync
    ),
    Step(
        "sound", measuring.SOUND_FIELDS, ("sync", "sound"), ("audio.rate",), (), measuring.sound,
        rests_on=("sync_correction",),
    ),
    Step("action_units", measuring.UNIT_FIELDS, (CROPS,), (), ("emotion",), measuring.action_units),
    Step(
        "caption", measuring.CAPTION_FIELDS, (CROPS, "sound", "sync", "said"), (), ("emotion", "text"),
        measuring.caption, rests_on=("sync_correction",),
    ),
)


def recipe(config: Config) -> tuple[Step, ...]:
    """The steps that the configuration asks for, in order."""
    return tuple(step for step in STEPS if step.wanted(config))
