"""How right the sync step is: sounds shifted by -10 … 10 frames of 1/25 s, on people the expert never saw."""

from __future__ import annotations

import time

import numpy as np

from models.sync import FPS
from tasks.config import Config
from tasks.exams.registry import Finding
from tasks.exams.talking import Seen, Sound, monologue, piece, watch
from tasks.experts import Experts
from tasks.lip_sync import SyncFound, corrected_start, find_sync, reach_s, see_lips, with_shared

RATES = (25.0, 30000 / 1001, 24.0, 50.0, 30.0, 25.0)
SHIFTED = 10
SHORT_S = 0.6
"""The shortest clip that preprocessing keeps."""


class Tally:
    """Errors of offsets in frames, and seconds of work per second of footage."""

    def __init__(self) -> None:
        self.errors: list[int] = []
        self.left: list[int] = []
        self.sure: list[bool] = []
        self.work_s = self.footage_s = 0.0

    def share_within(self, frames: int = 1) -> float:
        """Of offsets found."""
        return float(np.mean([abs(error) <= frames for error in self.errors])) if self.errors else 0.0


def exam(config: Config, experts: Experts, quick: bool = False, seed: int = 0) -> list[Finding]:
    """Offsets found, and what is left after correction; whole clips, pieces of 1 s, of 0.6 s, quiet ones.

    Every clip is filmed at one of five frame rates, detected and tracked, and its sound moved by whole frames. `left`
    is measured twice: anew on the corrected sound, and against the truth.
    """
    rng = np.random.default_rng([seed, 0x51C])
    people, seconds = (1, 1.5) if quick else (18, 2.6)
    whole, second, short, shared, quiet = (Tally() for _ in range(5))
    for person in range(people):
        fps = RATES[person % len(RATES)]
        talk = monologue(seed, person, seconds if fps < 40 else min(seconds, 2.0), fps, 112 if quick else 144)
        seen, sound = watch(talk, config, experts)
        if not seen:
            continue
        face = max(seen, key=lambda one: len(one.pts))
        shifts = [int(shift) for shift in rng.integers(-SHIFTED, SHIFTED + 1, 1 if quick else 3)]
        found = [_try(face, slice(None), sound, shift, config, experts, whole) for shift in shifts][-1]
        shift = shifts[-1]
        parts = []
        for length, tally in ((1.0, second), (SHORT_S, short)):
            for _ in range(1 if quick else 3):
                count = min(len(face.pts), round(length * fps))
                first = int(rng.integers(0, len(face.pts) - count + 1))
                parts.append(_try(face, slice(first, first + count), sound, shift, config, experts, tally))
        for offset in with_shared([found, *parts])[1:]:
            shared.errors.append(offset - shift)
        hush = np.random.default_rng(person).normal(0, 10 ** (-65 / 20), len(sound)).astype(np.float32)
        result = _try(face, slice(None), hush if person % 2 else 0 * hush, 0, config, experts, quiet)
        quiet.errors[-1] = result.offset_frames
    asked = None if quick else 0.95
    return [
        Finding("offset within 1 frame", whole.share_within(), 0.95, "share", cases=len(whole.errors),
                note=f"clips of {seconds:g} s at 24 to 50 fps, shifted by -10 … 10 frames"),
        Finding("outside 1 frame after correction", float(np.mean([abs(left) > 1 for left in whole.left])), 0.0,
                "share", False, len(whole.left), "the worse of: measured again, against the truth"),
        Finding("offset within 1 frame, 1 s", second.share_within(), asked, "share", cases=len(second.errors)),
        Finding("outside after correction, 1 s", float(np.mean([abs(left) > 1 for left in second.left])), 0.0,
                "share", False, len(second.left)),
        Finding("offset told by 0.6 s alone", float(np.mean(short.sure)), None, "share", cases=len(short.sure)),
        Finding("of these within 1 frame", _right_where_sure(short), asked, "share", cases=int(sum(short.sure))),
        Finding("offset within 1 frame, parts of a source", shared.share_within(), 0.95, "share",
                cases=len(shared.errors), note="pieces of 0.6 s and 1 s take what the source tells"),
        Finding("silence given an offset", float(np.mean([e != 0 for e in quiet.errors])), 0.0, "share", False,
                len(quiet.errors), "digital silence, and noise at -65 dBFS"),
        Finding("time", 1000 * whole.work_s / max(whole.footage_s, 1e-9), None, "ms/s", False,
                note="CPU, one thread, per second of footage: lips once, sound and search once"),
    ]  # fmt: skip


def _right_where_sure(tally: Tally) -> float:
    right = [abs(error) <= 1 for error, sure in zip(tally.errors, tally.sure, strict=True) if sure]
    return float(np.mean(right)) if right else 1.0


def _try(
    face: Seen, part: slice, sound: Sound, shift: int, config: Config, experts: Experts, tally: Tally
) -> SyncFound:
    """One clip whose sound lags by `shift` frames; corrected and measured again."""
    expert, limit = experts.sync, config.preprocess.max_sync_offset
    assert expert is not None, "the exam needs a sync expert"
    pts, pictures = face.pts[part], face.crops[part]
    reach = reach_s(expert, limit)
    start_s, end_s = float(pts[0]) - reach, float(pts[-1]) + 1 / FPS + reach

    def heard(first_s: float, last_s: float) -> Sound:
        return piece(sound, first_s - shift / FPS, last_s - shift / FPS)

    around = heard(start_s, end_s)
    began = time.process_time()
    lips = see_lips(pictures, pts, expert)
    found = find_sync(lips, pts, around, start_s, expert, limit)
    tally.work_s += time.process_time() - began
    tally.footage_s += float(pts[-1] - pts[0]) + 1 / FPS
    tally.errors.append(found.offset_frames - shift)
    tally.sure.append(found.sure)
    if found.sure:
        mended = heard(corrected_start(start_s, found.offset_frames), corrected_start(end_s, found.offset_frames))
        again = find_sync(lips, pts, mended, start_s, expert, limit)
        tally.left.append(max(abs(again.offset_frames), abs(found.offset_frames - shift)))
    return found
