"""Sound against picture: by how much a clip's sound is off, how sure that is, and in which moments these lips say it.

A muxed file mostly has one offset: clips too short or too quiet to tell take it from the others (`shared_offset`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from models.sync import FPS, SyncExpert
from models.sync_windows import Lips, distance_table, hear_sound, reach_s, see_lips
from models.syncnet import SyncNet

__all__ = ["Lips", "SyncFound", "corrected_start", "find_sync", "reach_s", "see_lips", "shared_offset", "with_shared"]

Floats = NDArray[np.float32]

SURE_MARGIN, SURE_CONFIDENCE = 0.045, 0.15
"""How far the mean distance at the best offset must lie below the best rival (more than two frames away) and below the
median, as shares of the median. Clips of fewer than 20 windows must show a greater margin: dips by chance are deeper.

Measured on pieces of 0.6 to 2.6 s of people the expert never saw, with their own sound: no wrong offset reached them.
"""
SURE_MASS = 0.08
"""The same for who speaks in a part of the clip only: by how many seconds of full agreement the best offset leads."""
_ENOUGH = 20.0  # windows
_RIVAL = 2  # frames
_STRANGE = 0.15  # agreement that lips and an unrelated sound reach now and then
_SMOOTH = 4  # frames


@dataclass(frozen=True)
class SyncFound:
    """What was found of one clip.

    offset_frames: frames of 1/25 s by which the sound lags the picture (negative: it leads); 0 where not `sure`.
    sure: whether the clip alone tells its offset. confidence: median - minimum of `curve` (LSE-C as of SyncNet).
    distance: minimum of `curve` (LSE-D). margin: best rival - minimum. residual: what parabola and whole frames differ
    by, frames -0.5 … 0.5. curve: float32 [2 max_offset + 1], mean distances; silence counts as unrelated.
    heard: the share of the clip's windows in which there is sound. evidence: float32 [T] for each of the clip's frames,
    how well lips and sound fit round this moment, at the offset: 1 - distance / unrelated, so 0 for unrelated ones and
    in silence, at most 1. windows: how many were averaged, those at the clip's ends in part. mass: float32
    [2 max_offset + 1], seconds of full agreement at each offset beyond what unrelated sound reaches. table, unrelated:
    of `distance_table`, for another offset.
    """

    offset_frames: int
    sure: bool
    confidence: float
    distance: float
    margin: float
    residual: float
    curve: Floats
    heard: float
    evidence: Floats
    windows: float
    mass: Floats
    table: Floats
    unrelated: float


def find_sync(
    lips: Lips,
    pts: NDArray[np.floating],
    sound: NDArray[np.floating],
    start_s: float,
    expert: SyncExpert | SyncNet,
    max_offset: int = 15,
) -> SyncFound:
    """Offset, confidence and evidence of one clip.

    Protocol: frames are taken at 25 fps by their timestamps; the window round each is compared with the sound at
    -max_offset … +max_offset frames; the distances are averaged over the windows, each weighted by the square of the
    share of its frames that lie within the clip; silence counts as unrelated. The offset is the minimum's, if it stands
    out. Else 0: in silence, or where the lips fit no offset, a number found by chance would harm.

    Args:
        lips: of `see_lips`, computed once for a clip.
        pts: float [T] seconds of the clip's own frames, on the clock of the sound.
        sound: float [N] mono at 16 kHz, `reach_s` more on both sides than the clip; sample 0 lies at `start_s`.
    """
    sounds, audible = hear_sound(sound, start_s, lips, expert, max_offset)
    table, heard, unrelated = distance_table(lips, sounds, audible, expert, max_offset)
    weight = lips.real**2
    curve = np.asarray(weight @ table / weight.sum(), np.float32)
    fit = np.maximum(gaussian_filter1d(1 - table / unrelated, _SMOOTH, axis=0, mode="nearest") - _STRANGE, 0)
    mass = weight @ fit / FPS
    best, sure = _decide(curve, mass, float(weight.sum()))
    offset = best - max_offset if sure else 0
    level, lowest = float(np.median(curve)), float(curve[best])
    found = SyncFound(
        offset, sure, level - lowest, lowest, _lead(-curve, best), _between(curve, best) if sure else 0.0, curve,
        float(weight @ heard[:, offset + max_offset] / weight.sum()), np.zeros(0, np.float32), float(weight.sum()),
        mass, table, unrelated,
    )  # fmt: skip
    return replace(found, evidence=evidence_at(found, lips, pts, offset))


def evidence_at(found: SyncFound, lips: Lips, pts: NDArray[np.floating], offset: int) -> Floats:
    """Evidence float32 [T] of a clip at a known offset (`SyncFound.evidence` is that at its own)."""
    middle = found.table.shape[1] // 2
    column = 1 - found.table[:, int(np.clip(middle + offset, 0, 2 * middle))] / found.unrelated
    # A window of an even number of frames is centred half a frame before the one it is named after.
    centre = (lips.size - 1) / 2 - lips.lead
    times = lips.start_s + (np.arange(len(lips)) + centre) / FPS
    return np.asarray(np.interp(pts, times, column), np.float32)


def _decide(curve: Floats, mass: Floats, windows: float) -> tuple[int, bool]:
    """The place of the best offset, and whether it stands out: among the means, or where the clip agrees in part."""
    best, told = int(curve.argmin()), int(mass.argmax())
    if _lead(mass, told) >= SURE_MASS:
        return told, True
    level = float(np.median(curve))
    asked = SURE_MARGIN * max(1.0, _ENOUGH / max(windows, 1.0)) * level
    return best, _lead(-curve, best) >= asked and level - float(curve[best]) >= SURE_CONFIDENCE * level


def _lead(values: Floats, best: int) -> float:
    """By how much the value at `best` exceeds all that are more than two frames away."""
    rivals = np.abs(np.arange(len(values)) - best) > _RIVAL
    return float(values[best] - values[rivals].max()) if rivals.any() else 0.0


def _between(curve: Floats, best: int) -> float:
    """Where the parabola through a minimum and its neighbours is lowest, in steps from the minimum."""
    if not 0 < best < len(curve) - 1:
        return 0.0
    before, here, after = (float(value) for value in curve[best - 1 : best + 2])
    bend = before - 2 * here + after
    return 0.0 if bend <= 0 else float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5))


def shared_offset(clips: Sequence[SyncFound]) -> tuple[int, bool]:
    """The offset of a whole source in frames of 1/25 s, and whether its clips tell it surely.

    Their agreement is summed over all clips, as if they were one: what is off by chance in a short one is outvoted, and
    faces that listen agree with no offset. Clips without sound say nothing.
    """
    clips = [clip for clip in clips if len(clip.curve) == len(clips[0].curve)]
    windows = np.array([clip.windows * clip.heard for clip in clips])
    if windows.sum() < 1:
        return 0, False
    mass = np.sum([clip.mass for clip in clips], axis=0)
    curve = np.einsum("c,co->o", windows, np.stack([clip.curve for clip in clips])) / windows.sum()
    best, sure = _decide(curve, mass, float(windows.sum()))
    return (best - len(curve) // 2, True) if sure else (0, False)


def with_shared(clips: Sequence[SyncFound], near: int = 1) -> list[int]:
    """The offset by which each clip of a source is corrected.

    A clip that is much surer than chance (three times the lead asked for) keeps its own: a compilation has more than
    one. All others take the source's, or, where that is not known, their own.
    """
    common, known = shared_offset(clips)
    if not known:
        return [clip.offset_frames for clip in clips]
    chosen = []
    for clip in clips:
        firm = clip.sure and _lead(clip.mass, int(clip.mass.argmax())) >= 3 * SURE_MASS
        own = firm and abs(clip.offset_frames - common) > near
        chosen.append(clip.offset_frames if own else common)
    return chosen


def corrected_start(start_s: float, offset_frames: int) -> float:
    """Where in the file's sound a clip's sound begins once the offset is taken out; seconds."""
    return start_s + offset_frames / FPS
