"""The frames of one call of the pipeline with their conditions, checked to fit together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Values = NDArray[np.floating] | Tensor


@dataclass(frozen=True)
class Shot:
    """What is rendered, checked: frames and their conditions, each [1,...] for all frames or [F,...]."""

    frames: NDArray[np.uint8]
    mask: NDArray[np.float32]
    reference: NDArray[np.uint8]
    values: dict[str, Tensor] = field(default_factory=dict)
    """Conditions that are given: audio_tokens, identity, emotion, emotion_image, action_units."""

    def part(self, span: slice) -> Shot:
        """The frames of `span`."""
        count = len(self.frames)
        mask = self.mask[span] if len(self.mask) == count else self.mask
        reference = self.reference[span] if len(self.reference) == count else self.reference
        values = {name: value[span] if len(value) == count else value for name, value in self.values.items()}
        return Shot(self.frames[span], mask, reference, values)

    def give(self, values: Mapping[str, Values | None]) -> None:
        """Add conditions; those that are None are left out.

        Raises:
            ValueError: one that is neither for all frames nor one a frame (audio tokens: one a frame).
        """
        count = len(self.frames)
        for name, value in values.items():
            if value is None:
                continue
            of_frames = torch.as_tensor(value) if name == "audio_tokens" else rows(value)
            if len(of_frames) != count and (name == "audio_tokens" or len(of_frames) != 1):
                raise ValueError(f"{name} of {len(of_frames)} frames for {count} frames")
            self.values[name] = of_frames


def rows(value: Values) -> Tensor:
    """[D] or [F,D] as float32 [1 or F,D]."""
    table = torch.as_tensor(value).float()
    return table.reshape(-1, table.shape[-1])


def of_windows(noise: Tensor, count: int, window: int | None) -> Tensor:
    """Noise [1,...] for all frames, or [B,...] of as many windows, as [1 or F,...].

    Raises:
        ValueError: the windows do not make up the `count` frames.
    """
    if window is not None and count % window:
        raise ValueError(f"{count} frames are no windows of {window}")
    if len(noise) == 1:
        return noise
    if window is None or len(noise) * window != count:
        raise ValueError(f"initial noise of {len(noise)} windows for {count} frames in windows of {window}")
    return noise.repeat_interleave(window, dim=0)


def distinct(pictures: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], list[int]]:
    """The different ones of pictures [N,...] as [R,...], in the order in which they first appear, and which of these
    each of the N is.
    """
    numbers: dict[bytes, int] = {}
    which = [numbers.setdefault(picture.tobytes(), len(numbers)) for picture in pictures]
    return pictures[[which.index(number) for number in range(len(numbers))]], which


def checked(frames: NDArray[Any], mask: NDArray[Any], reference: NDArray[Any], size: int) -> Shot:
    """A shot without conditions.

    Args:
        frames: uint8 [F,S,S,3].
        mask: [S,S] or [F,S,S].
        reference: uint8 [S,S,3] or [F,S,S,3].
        size: what S has to be.
    Raises:
        ValueError: shapes that do not fit together.
    """
    frames, reference = np.asarray(frames), np.asarray(reference)
    mask_map = np.asarray(mask, dtype=np.float32).reshape(-1, size, size)
    reference = reference[None] if reference.ndim == 3 else reference
    if frames.shape[1:] != (size, size, 3) or frames.dtype != np.uint8:
        raise ValueError(f"frames must be uint8 [F,{size},{size},3], got {frames.dtype} {frames.shape}")
    if reference.shape[1:] != (size, size, 3) or len(reference) not in (1, len(frames)):
        raise ValueError(f"reference must be uint8 [{size},{size},3] or one a frame, got {reference.shape}")
    if len(mask_map) not in (1, len(frames)):
        raise ValueError(f"{len(mask_map)} masks for {len(frames)} frames")
    return Shot(frames, mask_map, reference)
