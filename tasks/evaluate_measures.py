"""Measures of rendered frames against real ones, and how they are gathered over clips and seeds."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.landmarks106 import CONTOUR, LIPS_OUTER
from tasks.masks import dub_mask

Frames = NDArray[np.uint8]
MIN_FRAMES = 16
"""Fewer vectors than these give no Fréchet distance."""


@dataclass
class Samples:
    """Values by metric and clip: one for each rendering.

    clip: id of the clip that is being measured; whoever renders sets it.
    """

    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    clip: str = ""

    def add(self, **measured: float | None) -> None:
        """Keep what was measured of the present clip; None and NaN are not."""
        for name, value in measured.items():
            if value is not None and math.isfinite(value):
                self.values.setdefault(name, {}).setdefault(self.clip, []).append(float(value))

    def means(self) -> dict[str, float]:
        """The mean of each metric over all renderings."""
        return {name: float(np.mean(self._all(name))) for name in self.values}

    def spreads(self) -> dict[str, float]:
        """The standard error of each mean; 0 where there is one value."""
        counted = {name: self._all(name) for name in self.values}
        return {
            name: float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0
            for name, values in counted.items()
        }

    def by_clip(self) -> dict[str, dict[str, float]]:
        """metric → clip → mean over its renderings: what two models are compared by, clip by clip."""
        return {
            name: {clip: float(np.mean(values)) for clip, values in clips.items()}
            for name, clips in self.values.items()
        }

    def _all(self, name: str) -> list[float]:
        return [value for values in self.values[name].values() for value in values]


@dataclass
class Vectors:
    """Feature vectors of rendered and of real frames, over all clips, compared as two distributions.

    clips: id of the clip that each vector is of: those of `rendered`, and those of `real`.
    """

    rendered: list[NDArray[np.float32]] = field(default_factory=list)
    real: list[NDArray[np.float32]] = field(default_factory=list)
    clips: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))

    def add(self, clip: str, rendered: Sequence[NDArray[np.float32]], real: Sequence[NDArray[np.float32]]) -> None:
        """Keep a clip's vectors [D]."""
        for kept, of, vectors in zip((self.rendered, self.real), self.clips, (rendered, real), strict=True):
            kept.extend(vectors)
            of.extend([clip] * len(vectors))

    def distance(self) -> float | None:
        """Fréchet distance × 100 (the vectors are about of unit size); None below 16 frames on either side."""
        if min(len(self.rendered), len(self.real)) < MIN_FRAMES:
            return None
        return 100 * frechet_distance(np.stack(self.rendered), np.stack(self.real))

    def packed(self) -> dict[str, Any]:
        """As JSON values, for `unpacked`: the vectors as base64 of little-endian float32, and the clip of each."""
        sides = zip(("rendered", "real"), (self.rendered, self.real), self.clips, strict=True)
        return {
            name: {
                "width": len(vectors[0]) if vectors else 0,
                "data": base64.b64encode(np.asarray(vectors, "<f4").tobytes()).decode(),
                "clips": list(clips),
            }
            for name, vectors, clips in sides
        }


def unpacked(packed: Mapping[str, Any], side: str) -> tuple[NDArray[np.float32], list[str]]:
    """(vectors float32 [N,D], the clip of each) of one side, "rendered" or "real", of `Vectors.packed`."""
    kept = packed[side]
    flat = np.frombuffer(base64.b64decode(kept["data"]), "<f4").astype(np.float32)
    return flat.reshape(len(kept["clips"]), kept["width"]), list(kept["clips"])


def embeddings(found: Sequence[Any]) -> list[NDArray[np.float32]]:
    """The embeddings of the faces that were found and have one."""
    return [face.embedding for face in found if face is not None and face.embedding is not None]


def mean_cosine(vectors: Sequence[NDArray[np.float32]], others: Sequence[NDArray[np.float32]]) -> float | None:
    """Mean cosine of unit vectors to the mean of others; None where there are none."""
    if not len(vectors) or not len(others):
        return None
    centre = np.mean(others, axis=0)
    return float(np.mean(np.stack(vectors) @ centre) / max(float(np.linalg.norm(centre)), 1e-9))


def correlation(measured: NDArray[np.floating], truth: NDArray[np.floating]) -> float | None:
    """Pearson correlation over the frames where both are known; None where fewer than 8 are, or the mouth rests."""
    measured, truth = np.asarray(measured, np.float64), np.asarray(truth, np.float64)
    known = np.isfinite(measured) & np.isfinite(truth)
    if known.sum() < 8 or truth[known].std() < 0.01:
        return None
    if measured[known].std() < 1e-6:
        return 0.0
    return float(np.corrcoef(measured[known], truth[known])[0, 1])


def region_psnr(rendered: Frames, real: Frames) -> float:
    """PSNR in dB in the repainted region."""
    region = dub_mask(real.shape[1]) > 0.5
    error = np.square(rendered[:, region].astype(np.float64) - real[:, region]).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-6)))


def flicker(rendered: Frames, real: Frames) -> float | None:
    """Mean |second difference| in time in the repainted region, rendered over real; None below three frames."""
    if len(real) < 3:
        return None
    region = dub_mask(real.shape[1]) > 0.5
    ours, theirs = (np.abs(np.diff(x[:, region].astype(np.float32), n=2, axis=0)).mean() for x in (rendered, real))
    return float(ours / max(float(theirs), 1e-3))


def frechet_distance(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Fréchet distance of the Gaussians fitted to features [N,D] and [M,D] (Heusel et al. 2017)."""
    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    a, b = (x - x.mean(0) for x in (one, two))
    # tr sqrt(C1 C2) is the sum of singular values of A B^T / sqrt((N-1)(M-1)): no root of a (singular) D x D matrix is
    # needed; A and B may be replaced by their triangular factors, which have at most D rows.
    one_r, two_r = np.linalg.qr(a).R, np.linalg.qr(b).R
    cross = np.linalg.svd(one_r @ two_r.T, compute_uv=False).sum() / math.sqrt((len(a) - 1) * (len(b) - 1))
    traces = np.square(a).sum() / (len(a) - 1) + np.square(b).sum() / (len(b) - 1)
    return float(np.square(one.mean(0) - two.mean(0)).sum() + traces - 2 * cross)


def speaking_region(landmarks: NDArray[np.floating], size: int) -> NDArray[np.bool_]:
    """bool [S,S]: lips, chin and jaw wherever landmarks [T,106,2] (crop pixels) of a clip's frames put them.

    The hull of the outer lip and of the face's contour below the mouth corners, of all frames together, wider by 5 %
    of the crop: cheeks above the mouth, nose, neck and backdrop are outside.
    """
    points = np.asarray(landmarks, np.float32)
    canvas = np.zeros((size, size), np.uint8)
    for frame in points:
        lips, contour = frame[list(LIPS_OUTER)], frame[list(CONTOUR)]
        jaw = contour[contour[:, 1] > lips[:, 1].mean()]
        hull = cv2.convexHull(np.concatenate([lips, jaw])).reshape(-1, 2)
        cv2.fillConvexPoly(canvas, np.round(hull).astype(np.int32), 1)
    width = 2 * round(0.05 * size) + 1
    return np.asarray(cv2.dilate(canvas, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))) > 0)


def change_within(first: Frames, second: Frames, region: NDArray[np.bool_]) -> float | None:
    """Share of the mean |difference| of two renderings [T,S,S,3] that lies in `region` [S,S]; None if they are equal.

    The mean over frames of |first - second|: what differs, wherever it lies.
    """
    difference = np.abs(first.astype(np.float32) - second).mean(axis=(0, 3))
    total = float(difference.sum())
    return None if total < 1e-6 * difference.size else float(difference[region].sum()) / total


def mean_change(first: Frames, second: Frames) -> float:
    """Mean |difference| of two renderings in the repainted region, in levels of 255."""
    region = dub_mask(first.shape[1]) > 0.5
    return float(np.abs(first[:, region].astype(np.float32) - second[:, region]).mean())
