"""Grain: how much of it a picture has and how coarse it is, and the same grain made anew.

A sensor's noise, film grain, and what an encoder left of them. It is told in three octaves, so that the level and the
size of the grains are both kept: pixels, blocks of two, blocks of four.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.optimize import nnls

Field = NDArray[np.float32]

_TILE = 512  # pixels on a side of the noise that all grain is cut from
_SIGMAS = (0.0, 0.8, 1.8)  # how coarse its three layers are; pixels
_BLOCK, _FEWEST, _CALM = 8, 5, 0.2  # pixels; blocks from which an octave is told; the share of them that tells
_MOST = 12.0  # grey levels; beyond this it is a pattern, not grain
_CORNER = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32) / 6


def luma(picture: NDArray[np.uint8]) -> Field:
    """float32 [H,W] of uint8 RGB [H,W,3], 0..255 (BT.601)."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.float32)


def grain_powers(values: Field, region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Variance of the grain in three octaves, float64 [3], grey levels squared; zeros where too little can be seen.

    The mean square of the second difference along both axes (Immerkær, CVIU 1996) in blocks of eight, of which the
    calmest fifth tells: skin has texture, and edges, which are no grain.

    Args:
        values: luma [H,W].
        region: bool [H,W], where to look.
    """
    powers = np.zeros(len(_SIGMAS))
    seen = region.astype(np.uint8)
    for octave in range(len(_SIGMAS)):
        if octave:
            half = (max(1, values.shape[1] // 2), max(1, values.shape[0] // 2))
            values = np.asarray(cv2.resize(values, half, interpolation=cv2.INTER_AREA))
            seen = np.asarray(cv2.resize(seen, half, interpolation=cv2.INTER_NEAREST))
        size = (values.shape[1] // _BLOCK * _BLOCK, values.shape[0] // _BLOCK * _BLOCK)
        if min(size) == 0:
            break
        blocks = (size[0] // _BLOCK, size[1] // _BLOCK)
        square = np.square(cv2.filter2D(values, cv2.CV_32F, _CORNER))[: size[1], : size[0]]
        means = cv2.resize(square, blocks, interpolation=cv2.INTER_AREA)
        whole = cv2.resize(seen[: size[1], : size[0]].astype(np.float32), blocks, interpolation=cv2.INTER_AREA) > 0.99
        if whole.sum() >= _FEWEST:
            powers[octave] = float(np.quantile(means[whole], _CALM))
    return powers


def layer_levels(powers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Amplitudes [3] of the three layers of noise that together have these powers (least squares, none negative)."""
    if powers.max() <= 0:
        return np.zeros(len(_SIGMAS))
    shares, _ = nnls(_response(), np.minimum(powers, _MOST**2))
    return np.asarray(np.sqrt(shares))


def grain(shape: tuple[int, int], levels: NDArray[np.float64], key: tuple[int, int]) -> Field:
    """Noise float32 [H,W] of these `layer_levels`; the same for the same `key`, another for every other."""
    height, width = shape
    rng = np.random.default_rng([abs(int(part)) for part in key])
    y, x = (int(v) for v in rng.integers(0, _TILE, 2))
    rows, columns = np.arange(y, y + height) % _TILE, np.arange(x, x + width) % _TILE
    out = np.zeros(shape, dtype=np.float32)
    for layer, level in zip(_layers(), levels, strict=True):
        if level > 0:
            out += np.float32(level) * layer[rows[:, None], columns]
    return out


@lru_cache(maxsize=1)
def _layers() -> tuple[Field, ...]:
    """White noise, and two layers of coarser grains; unit variance, no edge where they are laid side by side."""
    rng = np.random.default_rng(20260101)
    layers = []
    for sigma in _SIGMAS:
        noise = gaussian_filter(rng.standard_normal((_TILE, _TILE)), sigma, mode="wrap")
        layers.append(np.asarray((noise - noise.mean()) / noise.std(), dtype=np.float32))
    return tuple(layers)


@lru_cache(maxsize=1)
def _response() -> NDArray[np.float64]:
    """float64 [octave, layer]: the power that is measured of each layer."""
    everywhere = np.ones((_TILE, _TILE), dtype=np.bool_)
    return np.stack([grain_powers(layer, everywhere) for layer in _layers()], axis=1)
