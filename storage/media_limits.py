"""What no honest file exceeds, so that a broken or hostile one is refused before it costs memory or time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from storage.errors import InputFailed, InputRejected

MAX_STREAMS = 64
MOST_PIXELS = 150_000_000
"""Of any picture that is opened, whatever a caller allows."""
MAX_PACKETS = 6_000_000
"""Of one track: four hours at 300 frames a second are 4.3 million."""
SOUND_RATES = (4_000, 768_000)
MAX_CHANNELS = 64
MAX_SILENCE_S = 3600.0
"""Silence that may be filled in where a track of sound has gaps, seconds in all."""
MAX_GAP_S = 600.0
MAX_EARLY_S = 60.0


@dataclass(frozen=True)
class Limits:
    """What is asked of a file.

    Attributes:
        max_pixels: width times height of a picture.
        max_fps, min_fps: average frame rate; frames a second.
        max_s: length; seconds.
    """

    max_pixels: int = 36_000_000
    max_fps: float = 300.0
    min_fps: float = 1.0
    max_s: float = 86_400.0


LIMITS = Limits()


def check_size(name: str, width: int, height: int, limits: Limits) -> None:
    """Refuse a picture that is too large to be held, by what its header says.

    Raises:
        InputFailed: a side is nothing at all.
        InputRejected: too many pixels.
    """
    if width <= 0 or height <= 0:
        raise InputFailed(name, f"its picture is {width}x{height}", "re-encode the file", error_type="NoPicture")
    if width * height > limits.max_pixels:
        raise InputRejected(
            "probe", "pixels", width * height, limits.max_pixels, "px",
            "scale it down, or raise preprocess.max_pixels", path=name,
            reason=f"its picture is {width}x{height}, more than {limits.max_pixels / 1e6:g} million pixels",
        )  # fmt: skip


def check_packets(name: str, count: int) -> None:
    """Refuse an index that lists more packets than hours of film have.

    Raises:
        InputRejected: too many.
    """
    if count > MAX_PACKETS:
        raise InputRejected(
            "probe", "packets", count, MAX_PACKETS, "", "cut or re-encode the file", path=name,
            reason=f"a track of {count} packets",
        )  # fmt: skip


def check_times(name: str, times: np.ndarray, limits: Limits) -> None:
    """Refuse presentation times that no camera gives.

    Args:
        times: float64 [N], timeline seconds, sorted.

    Raises:
        InputFailed: they start far before zero, leap, or stand still.
        InputRejected: longer than `limits.max_s`, or too many or too few frames a second.
    """
    if len(times) == 0:
        return
    remedy = "re-encode the file"
    if not np.isfinite(times).all() or times[0] < -MAX_EARLY_S:
        raise InputFailed(name, f"its first frame is at {times[0]:g} s", remedy, error_type="Timestamps")
    span = float(times[-1] - times[0])
    if span > limits.max_s:
        raise InputRejected(
            "probe", "duration_s", span, limits.max_s, "s", "raise preprocess.max_source_s or cut the file", path=name
        )
    if len(times) == 1:
        return
    gaps = np.diff(times)
    widest = int(gaps.argmax())
    if gaps[widest] > MAX_GAP_S:
        raise InputFailed(
            name, f"its time stamps leap by {gaps[widest]:.0f} s", remedy, time_s=float(times[widest]),
            error_type="Timestamps",
        )  # fmt: skip
    if span <= 0:
        raise InputFailed(name, f"its {len(times)} frames have one time stamp", remedy, error_type="Timestamps")
    check_rate(name, (len(times) - 1) / span, limits)


def check_rate(name: str, fps: float, limits: Limits) -> None:
    """Refuse a frame rate outside of `limits`.

    Raises:
        InputRejected: it is.
    """
    if not limits.min_fps <= fps <= limits.max_fps:
        fast = fps > limits.max_fps
        raise InputRejected(
            "probe", "fps", fps, limits.max_fps if fast else limits.min_fps, "1/s",
            "re-encode the file at its true frame rate, or change preprocess." + ("max_fps" if fast else "min_fps"),
            path=name,
        )  # fmt: skip


def check_sound(name: str, rate: int, channels: int) -> None:
    """Refuse sound that is sampled as none is.

    Raises:
        InputRejected: rate or channels out of bounds.
    """
    lowest, highest = SOUND_RATES
    if not lowest <= rate <= highest:
        raise InputRejected(
            "probe", "sample_rate", rate, highest if rate > highest else lowest, "Hz", "re-encode the sound", path=name
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise InputRejected(
            "probe", "audio_channels", channels, MAX_CHANNELS if channels > 1 else 1, "", "re-encode the sound",
            path=name,
        )  # fmt: skip
