"""What became of a rewritten video, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

_WORTH_SAYING_S, _QUIET_S = 0.05, 0.5


@dataclass
class RewriteReport:
    """What was written.

    Attributes:
        frames: frames in the output: those of the input and `held` more.
        held: how often the last frame is shown again because the new sound is longer than the picture.
        changed: how many of the input's frames were changed.
        boxes: int32 [frames,4], the changed box of each (x0, y0, x1, y1, upright pixels, exclusive); zeros if none.
        retimed: frames whose timestamp repeated the one before and was moved on by one tick.
        dropped: tracks that the output's container cannot hold, in words.
        audio_cut_s: seconds of the given sound after the end of the film, which were left out.
        audio_silent_s: seconds of silence after the end of the given sound.
        held_s: seconds by which the picture was made longer.
        notes: what else differs from the input, in words.
    """

    path: Path
    frames: int = 0
    held: int = 0
    changed: int = 0
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), dtype=np.int32))
    retimed: int = 0
    dropped: tuple[str, ...] = ()
    audio_cut_s: float = 0.0
    audio_silent_s: float = 0.0
    held_s: float = 0.0
    notes: tuple[str, ...] = ()

    def remarks(self) -> list[str]:
        """Sentences on what the user should know of an output that came out well; usually none."""
        said = []
        if self.audio_cut_s > _WORTH_SAYING_S:
            said.append(f"the track is {self.audio_cut_s:.2f} s longer than the picture: the rest was left out")
        if self.held:
            said.append(f"the track is {self.held_s:.2f} s longer than the picture: its last frame is held until then")
        if self.audio_silent_s > _QUIET_S:
            said.append(f"the track ends {self.audio_silent_s:.2f} s before the picture: silence follows")
        said += [f"not carried over: {track}" for track in self.dropped]
        return said + list(self.notes)
