"""Gates: what was measured against the thresholds of the configuration. Judged anew in every run, and at no cost.

A gate stands behind the step of its name. It gives a clip's columns that only the clips of a film together decide,
and the errors of those that do not pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from storage.errors import InputRejected
from tasks.config import Config
from tasks.config_sections import Preprocess
from tasks.probe import no_motion
from tasks.steps.settling import corrections, speaking
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
        error: InputRejected | None
        if length < limits.min_clip_s - 1e-6 and not clip["still"]:
            error = InputRejected("clips", "clip_s", length, limits.min_clip_s, "s", "lower preprocess.min_clip_s")
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
        if clip["face_inside"] < limits.min_face_inside:
            error = InputRejected(
                "faces", "face_inside", clip["face_inside"], limits.min_face_inside, "",
                "give footage that shows the whole face, or lower preprocess.min_face_inside",
                reason=f"the face is cut by the picture's edge: {clip['face_inside']:.0%} of it can be seen",
            )  # fmt: skip
        elif clip["occlusion"] is not None and clip["occlusion"] > limits.max_occlusion:
            error = InputRejected(
                "quality", "occlusion", clip["occlusion"], limits.max_occlusion, "", "raise preprocess.max_occlusion",
                reason="something covers the lower face",
            )  # fmt: skip
        elif turned > limits.max_yaw_deg:
            error = InputRejected("pose", "yaw_deg", turned, limits.max_yaw_deg, "deg", "raise preprocess.max_yaw_deg")
        error = error or _short(clip, "quality", "blur", limits.min_blur)
        error = error or _short(clip, "quality", "exposure", limits.min_exposure)
        if error is None and clip["exposure"] > limits.max_exposure:
            error = InputRejected(
                "quality", "exposure", clip["exposure"], limits.max_exposure, "", "raise preprocess.max_exposure"
            )
        if error is None and clip["still"]:
            error = no_motion(clip.source.uri)
        if error is not None:
            judged.refused[clip.number] = error
    return judged


def _sync(clips: Sequence[Clip], limits: Preprocess) -> Judged:
    judged = Judged(corrections(clips))
    for clip in clips:
        clip.settle(judged.decided[clip.number])
        error = None
        if limits.min_sync_confidence > 0:
            error = _short(clip, "sync", "sync_confidence", limits.min_sync_confidence)
        left = abs(clip["sync_residual"])
        if error is None and left > limits.max_sync_residual:
            error = InputRejected(
                "sync", "sync_residual", left, limits.max_sync_residual, "frames", "raise preprocess.max_sync_residual",
                reason=f"its lips fit the sound {clip['sync_offset']} frames off, the rest of the film "
                f"{clip['sync_correction']}",
            )  # fmt: skip
        if error is not None:
            judged.refused[clip.number] = error
    passing = [clip for clip in clips if clip.number not in judged.refused]
    for number, found in speaking(passing).items():
        judged.decided[number] |= found
    judged.refused |= listeners(passing, judged.decided, limits.min_speaking_share)
    return judged


def listeners(
    clips: Sequence[Clip], decided: Mapping[int, Mapping[str, Any]], min_share: float
) -> dict[int, InputRejected]:
    """The clips of faces that do not say what is heard: another face in view does, or one that is not in view."""
    refused = {}
    for clip in clips:
        share = decided[clip.number]["speaking_share"]
        if share is None or share >= min_share:
            continue
        others = [
            other for other in clips
            if other.number != clip.number and other["start_s"] < clip["end_s"] and clip["start_s"] < other["end_s"]
            and (decided[other.number]["speaking_share"] or 0) > share
        ]  # fmt: skip
        who = "another face in view" if others else "nobody in view"
        refused[clip.number] = InputRejected(
            "speaking", "speaking_share", share, min_share, "", "lower preprocess.min_speaking_share",
            reason=f"{who} says what is heard here",
        )  # fmt: skip
    return refused


def _short(clip: Clip, stage: str, measure: str, least: float, unit: str = "") -> InputRejected | None:
    value = clip[measure]
    if value is None or value >= least:
        return None
    return InputRejected(stage, measure, value, least, unit, f"lower preprocess.min_{measure}")
