"""Stretches: a segment cut into pieces of a few windows, each rendered on its own, at any time, by any worker.

Neighbours share a few frames, which are blended as windows are: where a segment is cut depends on its length and the
settings alone, so whoever renders a stretch gives the same bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from storage.atomic import written_aside
from tasks.config_sections import Render
from tasks.plan import Segment

Crops = NDArray[np.uint8]


@dataclass(frozen=True, order=True)
class Stretch:
    """Frames `first` … `last - 1` of the file, of the segment of that number."""

    segment: int
    first: int
    last: int

    @property
    def name(self) -> str:
        """Of its file, without the folder."""
        return f"{self.segment:04d}-{self.first:07d}-{self.last:07d}.png"

    def __len__(self) -> int:
        return self.last - self.first


def stretches_of(segments: Sequence[Segment], settings: Render) -> list[Stretch]:
    """All stretches, segment by segment, in order; those of a segment are about equally long."""
    found = []
    overlap = overlap_of(settings)
    whole = settings.window_frames + (settings.stretch_windows - 1) * (settings.window_frames - overlap)
    for number, segment in enumerate(segments):
        frames = segment.last - segment.first
        count = max(1, -(-(frames - overlap) // max(whole - overlap, 1)))
        # The parts without their shared frames, as equal as whole frames allow.
        edges = np.linspace(0, frames - overlap, count + 1).round().astype(int) if count > 1 else [0, frames]
        for start, end in itertools.pairwise(edges):
            stop = frames if count == 1 else int(end) + overlap
            found.append(Stretch(number, segment.first + int(start), segment.first + stop))
    return found


def overlap_of(settings: Render) -> int:
    """Frames that neighbours share."""
    return min(settings.overlap_frames, settings.window_frames - 1)


def box_of(alpha: NDArray[np.floating]) -> tuple[slice, slice]:
    """Rows and columns of the crop beyond which nothing of it is ever shown."""
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def save_stretch(path: Path, made: Crops, box: tuple[slice, slice], windows: int) -> None:
    """Crops uint8 [n,S,S,3] without what lies outside `box`, lossless, as one tall picture.

    Raises:
        StorageFull: the disk is full.
    """
    part = np.ascontiguousarray(made[:, box[0], box[1]])
    tall = part.reshape(-1, *part.shape[2:])
    done, data = cv2.imencode(".png", cv2.cvtColor(tall, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise ValueError(f"{path}: {len(made)} crops could not be packed")
    with written_aside(path) as partial:
        partial.write_bytes(windows.to_bytes(4, "little") + data.tobytes())


def load_stretch(path: Path, count: int, size: int, box: tuple[slice, slice]) -> tuple[Crops, int]:
    """The crops uint8 [count,S,S,3] of `save_stretch`, zero outside `box`, and the windows that they took."""
    data = path.read_bytes()
    tall = cv2.imdecode(np.frombuffer(data[4:], dtype=np.uint8), cv2.IMREAD_COLOR)
    if tall is None:
        raise ValueError(f"{path}: is no stretch")
    height, width = box[0].stop - box[0].start, box[1].stop - box[1].start
    made = np.zeros((count, size, size, 3), dtype=np.uint8)
    made[:, box[0], box[1]] = cv2.cvtColor(tall, cv2.COLOR_BGR2RGB).reshape(count, height, width, 3)
    return made, int.from_bytes(data[:4], "little")


def blended(before: Crops, after: Crops) -> Crops:
    """The frames [n,S,S,3] that two neighbours share: from one to the other, linearly."""
    rising = (np.arange(1, len(before) + 1, dtype=np.float32) / (len(before) + 1))[:, None, None, None]
    return np.rint(before * (1 - rising) + after * rising).astype(np.uint8)
