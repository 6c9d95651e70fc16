"""The crops of clips, which are aligned as our own, in the alignment and size of another base (tasks/alignments.py)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.landmarks106 import MEAN_SHAPE
from tasks import crops
from tasks.alignments import STUDIO, landmark_matrices
from tasks.crops import Matrix
from tasks.training.data import TrainingClip

log = logging.getLogger(__name__)

ENLARGED = 1.25
"""Pixels of the base's crop per pixel of the stored one, from which it is said that training will teach softness."""

Region = Callable[[int], NDArray[np.float32]]


class Placement:
    """The frames of a clip, cut anew out of its crops.

    Args:
        clip: its crops are S x S.
        alignment, size: of the base's crops.
    Attributes:
        matrices: float64 [T,2,3], pixels of the stored crop to pixels of the base's; None where both are the same.
    """

    def __init__(self, clip: TrainingClip, alignment: str, size: int) -> None:
        self._clip, self.size = clip, size
        stored = clip.frames.shape[1]
        self.matrices: Matrix | None = None
        if alignment != STUDIO:
            self.matrices = landmark_matrices(alignment, size, clip.landmarks, clip.pts)
        elif size != stored:
            self.matrices = np.repeat(crops.rescale(np.eye(2, 3), size / stored)[None], len(clip), 0)

    def frames(self, part: slice) -> NDArray[np.uint8]:
        """uint8 RGB [B,S,S,3]."""
        frames = self._clip.frames[part]
        if self.matrices is None:
            return frames
        pairs = zip(frames, self.matrices[part], strict=True)
        return np.stack([crops.warp(frame, matrix, self.size) for frame, matrix in pairs])

    def labelled(self, label: int) -> NDArray[np.float32]:
        """float32 [T,S,S], 1 where the clip's masks have this label."""
        there = (self._clip.labels == label).astype(np.float32)
        return there if self.matrices is None else self._moved(there)

    def covered(self) -> NDArray[np.float32]:
        """float32 [T,S,S], 1 where the stored crop shows what the base's crop asks for."""
        return self._moved(np.ones(self._clip.frames.shape[:3], np.float32))

    def _moved(self, maps: NDArray[np.float32]) -> NDArray[np.float32]:
        assert self.matrices is not None
        shape = (self.size, self.size)
        return np.stack([cv2.warpAffine(one, matrix, shape) for one, matrix in zip(maps, self.matrices, strict=True)])

    @property
    def enlarged(self) -> float:
        """Pixels of the base's crop per pixel of the stored one, along the axis where they are more."""
        if self.matrices is None:
            return 1.0
        return float(np.median(np.linalg.norm(self.matrices[:, :, :2], axis=-1).max(1)))


def warn_of_softness(placement: Placement, stored: int) -> bool:
    """Log it where the stored crops have too few pixels for the base's; returns whether they have."""
    if placement.enlarged < ENLARGED:
        return False
    log.warning(
        "crops of %d px are enlarged up to %.1f times for this base, which teaches it softness: "
        "set preprocess.crop_size=%d",
        stored, placement.enlarged, int(np.ceil(stored * placement.enlarged / 64)) * 64,
    )  # fmt: skip
    return True


@lru_cache(maxsize=8)
def _mean_face(alignment: str, size: int) -> Matrix:
    """float64 [2,3] from our crop of a mean face to another alignment's of the same size."""
    shape, start = (MEAN_SHAPE * size + size)[None], np.zeros(1)
    ours, theirs = (
        np.vstack([landmark_matrices(name, size, shape, start)[0], (0, 0, 1)]) for name in (STUDIO, alignment)
    )
    return np.asarray((theirs @ np.linalg.inv(ours))[:2])


def region_in(alignment: str, region: Region, size: int) -> NDArray[np.float32]:
    """A fixed region of our crop (tasks/masks.py) as float32 [size,size] in the crop of another alignment."""
    where = region(size)
    if alignment == STUDIO:
        return where
    return np.asarray(cv2.warpAffine(where, _mean_face(alignment, size), (size, size)), np.float32)


def in_our_alignment(frames: Tensor, alignment: str) -> Tensor:
    """Frames [K,3,S,S] in 0..1 of another alignment as our crops of a mean face; gradients go through."""
    if alignment == STUDIO:
        return frames
    size = frames.shape[-1]
    # grid_sample asks where each pixel comes from, in -1..1 from the first pixel's centre to the last's
    forth = torch.from_numpy(_mean_face(alignment, size)).to(frames)
    scale = 2 / (size - 1)
    shift = forth[:, 2] * scale + forth[:, :2].sum(1) - 1
    affine = torch.cat([forth[:, :2], shift[:, None]], dim=1)
    grid = F.affine_grid(affine.expand(len(frames), -1, -1), list(frames.shape), align_corners=True)
    return F.grid_sample(frames, grid, padding_mode="border", align_corners=True)
