"""Gates: what was measured against the thresholds of the configuration. Judged anew in every run, and at no cost.

A gate stands behind the step of its name. It gives a clip's columns that only the clips of a film together decide,
and the errors of those that do not pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from storage.errors import InputRejected
from tasks.config import Config
from tasks.config_sections import Preprocess
from tasks.steps.step import Clip


@dataclass
class Judged:
    """What a gate came to, by number of the clip: columns that it settled, and why clips do not pass."""

    decided: dict[int, dict[str, Any]] = field(default_factory=dict)
    refused: dict[int, InputRejected] = field(default_factory=dict)


def judge(step: str, clips: Sequence[Clip], config: Config) -> Judged:
    """The gate behind a step, over the clips of a film that got so far."""
    gate = {"tracks": _tracks, "crops": _crops, "sync": _sync}.get(step)
    return gate(clips, config.preprocess) if gate is not None else Judged()


def _tracks(clips: Sequence[Clip], limits: Preprocess) -> Judged:
    judged = Judged()
    for clip in clips:
        length = clip["end_s"] - clip["start_s"]
        if length < limits.min_clip_s - 1e-6:
            error = InputRejected(
                "clips", "clip_s", length, limits.min_clip_s, "s", "lower preprocess.min_clip_s"
            )
        else:
            error = _short(clip, "faces", "face_px", limits.min_face_px, "px") or _short(
                clip, "faces", "face_ratio", limits.min_face_ratio
            )
        if error is not None:
            judged.refused[clip.number] = error
    return judged


def _crops(clips: Sequence[Clip], limits: Preprocess) -> Judged:
    judged = Judged()
    for clip in clips:
        turned = float(np.degrees(abs(clip["yaw"])))
        error = None
        if turned > limits.max_yaw_deg:
            error = InputRejected("pose", "yaw_deg", turned, limits.max_yaw_deg, "deg", "raise preprocess.max_yaw_deg")
        error = error or _short(clip, "quality", "blur", limits.min_blur)
        error = error or _short(clip, "quality", "exposure", limits.min_exposure)
        if error is None and clip["exposure"] > limits.max_exposure:
            error = InputRejected(
                "quality", "exposure", clip["exposure"], limits.max_exposure, "", "raise preprocess.max_exposure"
            )
        if error is not None:
            judged.refused[clip.number] = error
    return judged


def _sync(clips: Sequence[Clip], limits: Preprocess) -> Judged:
    judged = Judged()
    heard = [clip for clip in clips if clip["sync_confidence"] is not None]
    for clip in heard:
        error = None
        if limits.min_sync_confidence > 0:
            error = _short(clip, "sync", "sync_confidence", limits.min_sync_confidence)
        offset = abs(clip["sync_offset"])
        if error is None and offset > limits.max_sync_offset:
            error = InputRejected(
                "sync", "sync_offset", offset, limits.max_sync_offset, "frames", "raise preprocess.max_sync_offset"
            )
        if error is not None:
            judged.refused[clip.number] = error
    passing = [clip for clip in heard if clip.number not in judged.refused]
    judged.refused |= listeners(passing, limits.min_sync_share)
    return judged


def listeners(clips: Sequence[Clip], min_share: float) -> dict[int, InputRejected]:
    """The clips of faces that listen: another face in view at the same time is far better in sync.

    A comparison within the footage, so it needs no threshold that fits the sync expert to this kind of footage.

    Args:
        min_share: least sync confidence, as a share of the best one of the clips that overlap in time.
    """
    refused = {}
    for clip in clips:
        best = max(
            other["sync_confidence"] for other in clips
            if other["start_s"] < clip["end_s"] and clip["start_s"] < other["end_s"]
        )  # fmt: skip
        if clip["sync_confidence"] < min_share * best:
            refused[clip.number] = InputRejected(
                "sync", "sync_confidence", clip["sync_confidence"], min_share * best,
                reason="another face in view speaks here",
            )  # fmt: skip
    return refused


def _short(clip: Clip, stage: str, measure: str, least: float, unit: str = "") -> InputRejected | None:
    value = clip[measure]
    if value is None or value >= least:
        return None
    return InputRejected(stage, measure, value, least, unit, f"lower preprocess.min_{measure}")
