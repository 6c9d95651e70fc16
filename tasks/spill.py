"""Rows of numbers in an unnamed file instead of in memory: what a track of an hour leaves, read clip by clip."""

from __future__ import annotations

import itertools
import os
import tempfile

import numpy as np
from numpy.typing import NDArray

from storage.atomic import full_disk_explained

Rows = NDArray[np.float32]


class Spill:
    """A growing table float32 [N, width] on disk. It has no name, and is gone with the last reference to it.

    Raises:
        StorageFull: the disk of temporary files is full.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._file = tempfile.TemporaryFile(prefix="dubwright-", buffering=1 << 16)  # noqa: SIM115 - lives as long as this
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, row: NDArray) -> int:
        """Adds a row [width]; returns its number."""
        with full_disk_explained(tempfile.gettempdir()):
            self._file.write(np.ascontiguousarray(row, dtype=np.float32).tobytes())
        self._count += 1
        return self._count - 1

    def read(self, numbers: NDArray[np.int64]) -> Rows:
        """The rows float32 [K, width] of these numbers [K], rising."""
        with full_disk_explained(tempfile.gettempdir()):
            self._file.flush()
        out = np.empty((len(numbers), self.width), dtype=np.float32)
        wide = 4 * self.width
        # Neighbours in the file are read at once.
        edges = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)]
        for start, end in itertools.pairwise(edges):
            if end > start:
                data = os.pread(self._file.fileno(), wide * (end - start), wide * int(numbers[start]))
                out[start:end] = np.frombuffer(data, dtype=np.float32).reshape(-1, self.width)
        return out


class SpilledPoints:
    """Points of a track on every frame, float32 [T, P, 2], read when they are asked for: ``points[3:9]``.

    Args:
        spill: where the rows lie.
        numbers: the rows [K] of this track.
        at: the frames [K] that they belong to, rising; between them straight lines, the ends held.
        first, count: the track's first frame, and how many it has.
    """

    def __init__(self, spill: Spill, numbers: NDArray[np.int64], at: NDArray[np.int64], first: int, count: int) -> None:
        self._spill, self._numbers, self._at = spill, numbers, at
        self._first, self._count = first, count

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._count, self._spill.width // 2, 2

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, part: slice) -> Rows:
        start, stop, step = part.indices(self._count)
        frames = self._first + np.arange(start, stop, step)
        if not len(frames):
            return np.empty((0, *self.shape[1:]), dtype=np.float32)
        low = max(0, int(np.searchsorted(self._at, frames.min(), side="right")) - 1)
        high = min(len(self._at), int(np.searchsorted(self._at, frames.max())) + 1)
        rows = self._spill.read(self._numbers[low:high])
        return filled(rows, self._at[low:high], frames).reshape(-1, *self.shape[1:])


def filled(rows: Rows, at: NDArray[np.int64], frames: NDArray[np.int64]) -> Rows:
    """Rows [K,C] at frames `at` -> [T,C] on all `frames`: straight lines between, the ends held."""
    if len(at) == len(frames) and np.array_equal(at, frames):
        return rows.copy()
    upper = np.clip(np.searchsorted(at, frames), 0, len(at) - 1)
    lower = np.clip(np.searchsorted(at, frames, side="right") - 1, 0, len(at) - 1)
    span = np.maximum(at[upper] - at[lower], 1)
    share = np.clip((frames - at[lower]) / span, 0, 1).astype(np.float32)[:, None]
    return np.asarray(rows[lower] * (1 - share) + rows[upper] * share, dtype=np.float32)
