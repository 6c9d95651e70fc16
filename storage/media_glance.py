"""A look at a media file's header: how long and how large it is, without reading or decoding the rest of it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from storage.errors import DubwrightError
from storage.media_open import BROKEN, opened
from storage.media_stills import is_still


@dataclass(frozen=True)
class Glance:
    """What a header says.

    duration_s: seconds, 0 where it does not tell. readable: whether it is a film (a still picture is one of a frame).
    """

    bytes: int
    duration_s: float = 0.0
    fps: float = 0.0
    pixels: int = 0
    readable: bool = False


def glance(path: str | os.PathLike[str]) -> Glance:
    """What the header of a file says; never raises. About a millisecond a file.

    Headers may be wrong and the file cut off: this is for estimates. `storage.media.probe` tells what is true.
    """
    try:
        size = os.path.getsize(path)
    except OSError:
        return Glance(0)
    try:
        if is_still(os.fspath(path)):
            return Glance(size, readable=True)
        with opened(path) as container:
            video = next(iter(container.streams.video), None)
            if video is None:
                return Glance(size)
            seconds = 0.0
            if container.duration:
                seconds = container.duration / 1_000_000
            elif video.duration and video.time_base:
                seconds = float(video.duration * video.time_base)
            fps = float(video.average_rate or 0)
            return Glance(size, max(0.0, seconds), fps, video.width * video.height, True)
    except (DubwrightError, *BROKEN):
        return Glance(size)
