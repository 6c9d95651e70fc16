"""What moves a studio face: action units, articulation, head pose and gaze, one row per frame.

Action units are FACS intensities in 0..1 (Ekman, Friesen and Hager, 2002). `L` and `R` are the subject's own left and
right; AU43 is eye closure, so a blink is a short AU43. Articulation is the vocal tract as far as it shows on the lips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

AUS = (
    "AU1", "AU2", "AU4", "AU5", "AU6", "AU7", "AU9", "AU10", "AU12L", "AU12R",
    "AU14L", "AU14R", "AU15", "AU17", "AU20", "AU23", "AU25", "AU26", "AU43L", "AU43R",
)  # fmt: skip
ARTICULATION = ("jaw", "wide", "round", "press", "tuck", "tongue")
POSE = ("yaw", "pitch", "roll", "x", "y", "z")
GAZE = ("gaze_yaw", "gaze_pitch")
EMOTIONS = ("neutral", "happy", "sad", "angry", "surprised", "fearful", "disgusted", "contempt")

# Prototype expressions (EMFACS) at full intensity. Speech needs the mouth too, so AU25/26 stay small here.
EMOTION_AUS: dict[str, dict[str, float]] = {
    "neutral": {},
    "happy": {"AU6": 0.9, "AU12L": 1.0, "AU12R": 1.0, "AU25": 0.35, "AU7": 0.15},
    "sad": {"AU1": 1.0, "AU4": 0.55, "AU15": 1.0, "AU17": 0.5, "AU43L": 0.22, "AU43R": 0.22},
    "angry": {"AU4": 1.0, "AU5": 0.45, "AU7": 0.7, "AU23": 0.8, "AU17": 0.35, "AU10": 0.2, "AU9": 0.15},
    "surprised": {"AU1": 1.0, "AU2": 1.0, "AU5": 0.9, "AU25": 0.5, "AU26": 0.75},
    "fearful": {"AU1": 1.0, "AU2": 0.55, "AU4": 0.6, "AU5": 1.0, "AU7": 0.2, "AU20": 0.9, "AU25": 0.5, "AU26": 0.2},
    "disgusted": {"AU9": 1.0, "AU10": 0.85, "AU4": 0.4, "AU7": 0.5, "AU15": 0.4, "AU17": 0.45, "AU6": 0.2},
    "contempt": {"AU12L": 0.75, "AU14L": 1.0, "AU2": 0.15, "AU43L": 0.14, "AU43R": 0.14},
}
INTENSITY_GAIN = (0.0, 0.4, 0.7, 1.0)


def emotion_aus(emotion: str, intensity: int) -> FloatArray:
    """Action units float32 [20] in 0..1 of `emotion` (one of EMOTIONS) at `intensity` 0..3; ValueError for others."""
    if emotion not in EMOTION_AUS or not 0 <= intensity < len(INTENSITY_GAIN):
        raise ValueError(f"no expression {emotion!r} at intensity {intensity}: emotions {EMOTIONS}, intensities 0 to 3")
    row = np.zeros(len(AUS), np.float32)
    for name, weight in EMOTION_AUS[emotion].items():
        row[AUS.index(name)] = weight * INTENSITY_GAIN[intensity]
    return row


@dataclass
class Controls:
    """Face controls over T frames.

    aus: float32 [T,20] FACS intensities 0..1 in the order of AUS.
    articulation: float32 [T,6] 0..1: jaw drop, lip spread, rounding, lips pressed shut, lower lip to teeth,
    tongue to teeth.
    pose: float32 [T,6]: yaw, pitch, roll in rad (positive yaw looks to image right, positive pitch looks up, positive
    roll leans clockwise in the image), x, y, z in head units (about 0.12 m; x to image right, y up, z to the camera).
    gaze: float32 [T,2] rad, relative to the head: to image right, up.
    """

    aus: FloatArray
    articulation: FloatArray
    pose: FloatArray
    gaze: FloatArray

    def __post_init__(self) -> None:
        frames = len(self.aus)
        for name, width in (("aus", len(AUS)), ("articulation", len(ARTICULATION)), ("pose", 6), ("gaze", 2)):
            value = np.ascontiguousarray(getattr(self, name), dtype=np.float32)
            if value.shape != (frames, width):
                raise ValueError(f"controls {name}: shape {value.shape}, expected {(frames, width)}")
            setattr(self, name, value)

    @classmethod
    def neutral(cls, frames: int) -> Controls:
        """A face at rest that looks into the camera, for `frames` frames."""
        shapes = (len(AUS), len(ARTICULATION), len(POSE), len(GAZE))
        return cls(*(np.zeros((frames, width), np.float32) for width in shapes))

    def __len__(self) -> int:
        return len(self.aus)

    def __getitem__(self, index: slice) -> Controls:
        return Controls(self.aus[index], self.articulation[index], self.pose[index], self.gaze[index])

    @classmethod
    def concat(cls, parts: Sequence[Controls]) -> Controls:
        """One after another in time."""
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("aus", "articulation", "pose", "gaze")
            )
        )

    def set(self, name: str, value: float | npt.NDArray[np.floating]) -> Controls:
        """Set one named control of AUS, ARTICULATION, POSE or GAZE in place; "AU12", "AU14", "AU43" set both sides."""
        sides = [f"{name}L", f"{name}R"] if f"{name}L" in AUS else [name]
        for side in sides:
            array, names = next((pair for pair in self._named() if side in pair[1]), (None, ()))
            if array is None:
                raise ValueError(f"no control is called {name!r}")
            array[:, names.index(side)] = value
        return self

    def _named(self) -> tuple[tuple[FloatArray, tuple[str, ...]], ...]:
        return ((self.aus, AUS), (self.articulation, ARTICULATION), (self.pose, POSE), (self.gaze, GAZE))

    def to_arrays(self) -> dict[str, FloatArray]:
        """Arrays for an npz file; `from_arrays` reads them back."""
        return {"aus": self.aus, "articulation": self.articulation, "pose": self.pose, "gaze": self.gaze}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Controls:
        """Controls from a mapping with aus, articulation, pose and gaze (an opened npz file, for example)."""
        return cls(*(cast(FloatArray, arrays[name]) for name in ("aus", "articulation", "pose", "gaze")))
