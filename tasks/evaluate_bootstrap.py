"""Bootstrap intervals over held-out clips: which of two models is better, and how sure that is.

The clip is the unit that is drawn, because its frames, seeds and renderings say much the same. Draws are paired: both
models are looked at on the same ones, so that what makes a clip hard does not count. They are the same at every call.

Percentile intervals of few values are too narrow; they are widened to those of Student's t (the "expanded percentile
interval" of Hesterberg 2015, What Teachers Should Know About the Bootstrap, The American Statistician 69). At four
clips that makes the interval reach from the worst clip to the best one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tasks.evaluate_measures import MIN_FRAMES, unpacked

Values = NDArray[np.float64]
_SEED = 20150401


@dataclass(frozen=True)
class Interval:
    """A mean over clips and the interval that it lies in with the confidence asked for."""

    mean: float
    low: float
    high: float
    clips: int


def drawn_clips(clips: int, draws: int) -> Values:
    """How often each clip is in each draw with replacement: float64 [draws, clips], rows sum to `clips`."""
    return np.random.default_rng(_SEED).multinomial(clips, np.full(clips, 1 / clips), draws).astype(np.float64)


def interval_of(mean: float, drawn: Values, clips: int, confidence: float) -> Interval:
    """The expanded percentile interval of the values [N] that the draws gave."""
    tail = (1 - confidence) / 2
    wider = float(stats.norm.cdf(stats.t.ppf(tail, clips - 1) * np.sqrt(clips / (clips - 1))))
    low, high = np.quantile(drawn, [wider, 1 - wider])
    # Of a Fréchet distance, draws with few distinct clips can all lie on one side of the value that all clips give.
    return Interval(mean, min(float(low), mean), max(float(high), mean), clips)


def paired_values(first: Mapping[str, float], second: Mapping[str, float]) -> tuple[Values, Values]:
    """The values of the clips that both have, in order of their ids: two arrays [N]."""
    both = sorted(first.keys() & second.keys())
    return np.array([first[clip] for clip in both]), np.array([second[clip] for clip in both])


class FrechetPair:
    """Fréchet distances × 100 of two models' frames from the real ones, for any draw of clips.

    All inner products are taken once; a draw then costs an eigenvalue problem of as many rows as there are real frames.

    Args:
        challenger, champion: `Vectors.packed` of both.
    """

    def __init__(self, challenger: Mapping[str, Any], champion: Mapping[str, Any]) -> None:
        sides = [[unpacked(packed, side) for side in ("rendered", "real")] for packed in (challenger, champion)]
        shared = set.intersection(*(set(clips) for pair in sides for _, clips in pair))
        self.clips = sorted(shared)
        """Those of which both models and the footage have faces."""
        self._models = [_Gram(*rendered, *real, self.clips) for rendered, real in sides]

    def gain(self, counts: Values) -> float:
        """How much nearer the challenger is than the champion, with each clip as often as `counts` [clips] says; NaN
        where that leaves too few frames."""
        ours, theirs = (model.distance(counts) for model in self._models)
        return theirs - ours


class _Gram:
    """Rendered frames [N,D] and real ones [M,D] of clips, by their inner products."""

    def __init__(
        self, rendered: NDArray[np.float32], of_rendered: list[str], real: NDArray[np.float32], of_real: list[str],
        clips: list[str],
    ) -> None:  # fmt: skip
        numbers = {clip: number for number, clip in enumerate(clips)}
        self._of, kept = [], []
        for vectors, names in ((rendered, of_rendered), (real, of_real)):
            inside = [row for row, name in enumerate(names) if name in numbers]
            kept.append(vectors[inside].astype(np.float64))
            self._of.append(np.array([numbers[names[row]] for row in inside], np.int64))
        a, b = kept
        self._aa, self._bb, self._ab = a @ a.T, b @ b.T, a @ b.T

    def distance(self, counts: Values) -> float:
        """|mean - mean|² + tr C + tr C' - 2 tr sqrt(C C'), × 100, each frame as often as its clip is drawn."""
        weights = [counts[of] for of in self._of]
        if min(w.sum() for w in weights) < MIN_FRAMES:
            return float("nan")
        rows = [np.flatnonzero(w) for w in weights]
        aa, bb = (gram[np.ix_(r, r)] for gram, r in zip((self._aa, self._bb), rows, strict=True))
        ab = self._ab[np.ix_(rows[0], rows[1])]
        wa, wb = (w[r] for w, r in zip(weights, rows, strict=True))
        pa, pb = wa / wa.sum(), wb / wb.sum()
        mean_a, mean_b = pa @ aa @ pa, pb @ bb @ pb
        apart = mean_a + mean_b - 2 * pa @ ab @ pb
        # |x - mean|² of every frame; the variances divide by the number of frames less one, as `frechet_distance` does.
        spread_a = wa @ (np.diag(aa) - 2 * aa @ pa + mean_a) / (wa.sum() - 1)
        spread_b = wb @ (np.diag(bb) - 2 * bb @ pb + mean_b) / (wb.sum() - 1)
        centred = ab - (ab @ pb)[:, None] - (pa @ ab)[None] + pa @ ab @ pb
        cross = np.sqrt(wa / (wa.sum() - 1))[:, None] * centred * np.sqrt(wb / (wb.sum() - 1))[None]
        square = cross.T @ cross if cross.shape[1] <= cross.shape[0] else cross @ cross.T
        roots = np.sqrt(np.clip(np.linalg.eigvalsh(square), 0, None)).sum()
        return float(100 * (apart + spread_a + spread_b - 2 * roots))
