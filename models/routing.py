"""Several U-Nets, each for its own range of timesteps: the early ones lay out the face, the late ones draw it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor


class TimestepRouter:
    """Which U-Net denoises at which timestep (eDiff-I, Balaji et al. 2022, arXiv:2211.01324).

    Args:
        boundaries: timesteps in falling order; U-Net 0 takes those from the first boundary up, U-Net 1 those below it
            down to the second, and so on. N boundaries route N + 1 U-Nets.
    Raises:
        ValueError: boundaries that do not fall.
    """

    def __init__(self, boundaries: Sequence[int]) -> None:
        if any(later >= earlier for earlier, later in pairwise(boundaries)):
            raise ValueError(f"boundaries must fall from each to the next, got {list(boundaries)}")
        self.boundaries = tuple(boundaries)

    def pick(self, timestep: int | Tensor) -> int:
        """The number of the U-Net for one timestep."""
        return sum(int(timestep) < boundary for boundary in self.boundaries)

    def split(self, timesteps: Tensor) -> dict[int, Tensor]:
        """U-Net → the samples that it takes of a batch, int64 [K], for timesteps [B]; without any: left out."""
        below = torch.stack([timesteps < boundary for boundary in self.boundaries]).sum(0)
        return {int(index): torch.nonzero(below == index)[:, 0] for index in below.unique()}

    def range_of(self, index: int, total: int = 1000) -> tuple[int, int]:
        """The timesteps [first, last) that U-Net `index` takes: what it is trained on in the stage `split`."""
        edges = (total, *self.boundaries, 0)
        return edges[index + 1], edges[index]
