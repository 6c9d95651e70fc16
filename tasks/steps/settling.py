"""What the clips of a film settle together: by how much its sound is off, and who of those in view speaks when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.sync import FPS
from tasks.lip_sync import Lips, SyncFound, evidence_at, with_shared
from tasks.speaking import Watched, inside, who_is_speaking
from tasks.steps.step import Clip

_MOST_TOGETHER = 16
"""Clips judged together at most: of a long view of two people, those next to each other in time."""


def corrections(clips: Sequence[Clip]) -> dict[int, dict[str, Any]]:
    """By number of the clip: sync_correction, and sync_residual, what it by itself says to be left, in 1/25 s.

    Clips without a measurement take what the others say, or 0.
    """
    measured = [clip for clip in clips if clip["sync_confidence"] is not None]
    shared = with_shared([_found(clip) for clip in measured]) if measured else []
    chosen = {clip.number: offset for clip, offset in zip(measured, shared, strict=True)}
    settled = {}
    for clip in clips:
        correction = chosen.get(clip.number, 0)
        residual = clip["sync_offset"] - correction if clip["sync_sure"] else 0
        settled[clip.number] = {"sync_correction": correction, "sync_residual": residual}
    return settled


def speaking(clips: Sequence[Clip]) -> dict[int, dict[str, Any]]:
    """By number of the clip: speaking bool [T], and speaking_share of its frames in which somebody speaks (None: in
    none of them). The corrections are settled by now."""
    settled: dict[int, dict[str, Any]] = {}
    for group in _together(clips):
        shift = {clip.number: (clip["sync_correction"] or 0) / FPS for clip in group}
        spans = sorted(
            {
                (start - shift[clip.number], end - shift[clip.number])
                for clip in group for start, end in np.reshape(clip["voice_spans"], (-1, 2)).tolist()
            }
        )  # fmt: skip
        faces = [Watched(clip["pts"], _evidence(clip), clip["motion"], bool(clip["sync_sure"])) for clip in group]
        for clip, face, said in zip(group, faces, who_is_speaking(faces, spans), strict=True):
            heard = inside(spans, face.pts)
            share = float(said[heard].mean()) if heard.any() else None
            settled[clip.number] = {"speaking": said, "speaking_share": share}
    return settled


def _together(clips: Sequence[Clip]) -> Iterator[list[Clip]]:
    """Clips that can be seen at the same time, in order of their starts."""
    group: list[Clip] = []
    end_s = 0.0
    for clip in sorted(clips, key=lambda clip: (clip["start_s"], clip.number)):
        if group and (clip["start_s"] >= end_s - 1e-6 or len(group) >= _MOST_TOGETHER):
            yield group
            group = []
        end_s = clip["end_s"] if not group else max(end_s, clip["end_s"])
        group.append(clip)
    if group:
        yield group


def _evidence(clip: Clip) -> NDArray[np.float32] | None:
    if clip["sync_confidence"] is None:
        return None
    found = _found(clip)
    windows = len(found.table)
    lips = Lips(
        torch.zeros(windows, 0), np.zeros(windows, np.float32), clip["lips_start_s"], clip["lips_lead"],
        clip["lips_size"],
    )  # fmt: skip
    return evidence_at(found, lips, clip["pts"], int(clip["sync_correction"] or 0))


def _found(clip: Clip) -> SyncFound:
    """What the step `sync` kept."""
    curve = clip["sync_curve"]
    return SyncFound(
        offset_frames=clip["sync_offset"], sure=clip["sync_sure"], confidence=clip["sync_confidence"],
        distance=clip["sync_distance"], margin=clip["sync_margin"], residual=clip["sync_between"], curve=curve,
        heard=clip["sync_heard"], evidence=np.zeros(0, np.float32), windows=clip["sync_windows"],
        mass=clip["sync_mass"], table=clip["sync_table"].reshape(-1, len(curve)), unrelated=clip["sync_unrelated"],
    )  # fmt: skip
