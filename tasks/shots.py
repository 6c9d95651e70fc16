"""Shots: where one camera view ends and the next begins, and where a piece was cut out of one view (a jump cut).

The detectors are fed with the frames that are being read anyway, so a file is not decoded a second time and frame
numbers and times are those of `storage.media`, whatever the frame rate does.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect import AdaptiveDetector, FrameTimecode

from models.faces import Face
from tasks.config_sections import Shots
from tasks.cut_evidence import Break, CutEvidence

Frame = NDArray[np.uint8]


@dataclass(frozen=True)
class Shot:
    """Frames `first` up to, not including, `last` (indices within the file), and their times in seconds.

    began: with the file, with a cut to another view, or with a jump cut within one.
    """

    number: int
    first: int
    last: int
    start_s: float
    end_s: float
    began: Literal["start", "cut", "jump"] = "cut"

    def __len__(self) -> int:
        return self.last - self.first


class ShotFinder:
    """Finds cuts while frames pass by. Push every frame in order, then `finish`.

    Two witnesses: PySceneDetect's adaptive detector for changes of view, and `CutEvidence` for whatever breaks off in
    one frame, jump cuts too. The second also tells flashes, switched lights and passing hands from cuts. A cut is known
    some frames after it happened: a frame is compared with both its neighbourhoods.

    Args:
        config: thresholds.
        fps: average frame rate; the detectors count in frames, so times are converted with it.
    """

    def __init__(self, config: Shots, fps: float | Fraction) -> None:
        self._config = config
        self._rate = float(fps) if fps and float(fps) > 0 else 25.0
        self._detector = AdaptiveDetector(
            adaptive_threshold=config.adaptive_threshold,
            min_scene_len=1,
            window_width=config.window_frames,
            min_content_val=config.min_content,
        )
        window, passing = round(config.jump_window_s * self._rate), round(config.flash_s * self._rate)
        self._delay = max(2, window, passing, config.window_frames + 1)
        self._evidence = CutEvidence(window, passing, self._delay)
        self._shortest = max(1, round(config.min_shot_s * self._rate))
        self._first: int | None = None
        self._seen = 0
        self._changed: set[int] = set()
        self._held: Break | None = None
        self.cuts: list[int] = []
        """Indices of the frames that begin a new shot, without the first frame of all."""
        self.jumps: set[int] = set()
        """Those of them that keep the camera's view: jump cuts."""

    def push(self, index: int, frame: Frame, faces: Sequence[Face] | None = None) -> list[int]:
        """The next frame uint8 [H,W,3] of any channel order, with its faces where they were looked for.

        Returns the cuts that became certain with it.
        """
        if self._first is None:
            self._first = index
        height, width = frame.shape[:2]
        scale = min(1.0, self._config.width / max(height, width))
        if scale < 1:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            # Linear: to average all pixels of a large frame costs more than all the rest that is done here, and what
            # is compared are cells of many of these pixels.
            frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
        box = max(faces, key=lambda face: face.size).bbox * scale if faces else None
        self._note(self._detector.process_frame(FrameTimecode(self._seen, self._rate), _halved(frame)))
        found = self._evidence.push(np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), dtype=np.uint8), box)
        self._seen += 1
        return self._take([] if found is None else [found], self._seen)

    def finish(self) -> list[int]:
        """The cuts that only the end of the file makes certain."""
        if self._first is None:
            return []
        self._note(self._detector.post_process(FrameTimecode(self._seen - 1, self._rate)))
        return self._take(self._evidence.finish(), None)

    def _note(self, changed: Iterable[FrameTimecode]) -> None:
        self._changed.update(code.frame_num for code in changed)

    def _is_cut(self, found: Break) -> bool:
        if found.lit or found.passing:
            return False
        return found.jump > self._config.min_jump or (found.frame in self._changed and not found.same_view)

    def _take(self, found: Iterable[Break], seen: int | None) -> list[int]:
        """Cuts that nothing stronger can replace any more: of two nearer than the shortest shot the stronger stays."""
        certain: list[Break] = []
        for one in filter(self._is_cut, found):
            if self._held is not None and one.frame - self._held.frame < self._shortest:
                self._held = max(self._held, one, key=lambda cut: (not cut.same_view, cut.jump))
                continue
            certain += [] if self._held is None else [self._held]
            self._held = one
        if self._held is not None and (seen is None or seen - self._held.frame > self._delay + self._shortest):
            certain.append(self._held)
            self._held = None
        offset = self._first or 0
        fresh = [offset + cut.frame for cut in certain]
        self.cuts.extend(fresh)
        self.jumps.update(offset + cut.frame for cut in certain if cut.same_view)
        return fresh


def _halved(frame: Frame) -> Frame:
    """Every second pixel both ways: enough to tell one view from another."""
    return np.ascontiguousarray(frame[::2, ::2]) if min(frame.shape[:2]) >= 72 else frame


def shots_between(
    cuts: Iterable[int],
    pts: NDArray[np.float64],
    end_s: float,
    min_shot_s: float = 0.0,
    jumps: Collection[int] = (),
) -> list[Shot]:
    """Shots from cuts: `pts` are the times [N] of frames 0..N-1, `end_s` the end of the last one.

    A remainder shorter than `min_shot_s` at the end belongs to the shot before it: where the file stops, the detector
    lacks the neighbours that it compares with. `jumps` are those cuts that keep the camera's view.
    """
    if len(pts) == 0:
        return []
    inner = [cut for cut in sorted(set(cuts)) if 0 < cut < len(pts) and end_s - pts[cut] >= min_shot_s]
    edges = [0, *inner, len(pts)]
    times = [*pts.tolist(), end_s]
    return [
        Shot(number, first, last, times[first], times[last], _beginning(first, jumps))
        for number, (first, last) in enumerate(itertools.pairwise(edges))
    ]


def _beginning(first: int, jumps: Collection[int]) -> Literal["start", "cut", "jump"]:
    if first == 0:
        return "start"
    return "jump" if first in jumps else "cut"
