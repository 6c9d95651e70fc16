"""Long runs of frames through a model that sees a window at a time, with neighbours blended over their overlap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Crops = NDArray[np.uint8]
RenderWindow = Callable[[Crops, NDArray[np.float64]], Crops]
"""(crops uint8 [F,S,S,3], times float64 [F]) → generated crops uint8 [F,S,S,3]."""


class WindowRenderer:
    """Feeds a run of crops, given one by one, to `render` in windows; memory holds one window, however long the run.

    The last `overlap` frames of a window are rendered again as the first of the next, and the two results are blended
    with weights that go linearly from one to the other: a difference between windows fades instead of jumping.

    Args:
        render: called with at most `window` frames.
        window: frames per call.
        overlap: frames shared by neighbours, less than `window`.
    """

    def __init__(self, render: RenderWindow, window: int, overlap: int) -> None:
        if not 0 <= overlap < window:
            raise ValueError(f"an overlap of {overlap} frames does not fit a window of {window}")
        self._render, self._window, self._overlap = render, window, overlap
        self._indices: list[int] = []
        self._crops: list[Crops] = []
        self._times: list[float] = []
        self._tail: Crops | None = None
        self.windows = 0
        """Windows rendered so far."""

    @property
    def waiting(self) -> list[int]:
        """Indices of the frames that were given but not returned yet."""
        return self._indices

    def push(self, index: int, crop: Crops, time_s: float) -> list[tuple[int, Crops]]:
        """The next frame's crop [S,S,3]; returns (index, generated crop) of the frames that are now final, in order."""
        self._indices.append(index)
        self._crops.append(crop)
        self._times.append(time_s)
        return self._flush(self._overlap) if len(self._indices) >= self._window else []

    def finish(self) -> list[tuple[int, Crops]]:
        """The run is over: everything that is still waiting."""
        fresh = len(self._indices) - (0 if self._tail is None else len(self._tail))
        if not self._indices:
            return []
        if fresh == 0 and self._tail is not None:
            final = list(zip(self._indices, self._tail, strict=True))
            self._indices, self._crops, self._times, self._tail = [], [], [], None
            return final
        return self._flush(0)

    def _flush(self, keep: int) -> list[tuple[int, Crops]]:
        made = np.asarray(self._render(np.stack(self._crops), np.array(self._times, dtype=np.float64)))
        self.windows += 1
        if self._tail is not None and len(self._tail):
            shared = len(self._tail)
            rising = (np.arange(1, shared + 1, dtype=np.float32) / (shared + 1))[:, None, None, None]
            mixed = self._tail * (1 - rising) + made[:shared] * rising
            made = np.concatenate([np.rint(mixed).astype(np.uint8), made[shared:]])
        done = len(made) - keep
        final = list(zip(self._indices[:done], made[:done], strict=True))
        self._tail = made[done:] if keep else None
        self._indices, self._crops, self._times = self._indices[done:], self._crops[done:], self._times[done:]
        return final
