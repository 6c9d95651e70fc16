"""Where the colour samples of a 4:2:0 picture lie between its luma samples: one of six places, half a pixel apart.

Decoders tell it to the colour conversion only, so it is read from what that does with a single colour sample.
"""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame

from storage.media_frames import decoded
from storage.media_open import opened, video_stream
from storage.media_planes import planes_of

_READABLE = ("yuv420p", "yuvj420p", "yuv420p10le", "yuv420p12le")
_LEAST_PX, _NEUTRAL, _RAISED = 32, 128, 228
_PLACES = {
    (0, 1): "left", (1, 1): "center", (0, 0): "topleft", (1, 0): "top", (0, 2): "bottomleft", (1, 2): "bottom",
}  # fmt: skip


def chroma_location(path: str, frame: VideoFrame) -> str | None:
    """The place, by the names of FFmpeg's ``chroma_sample_location``; None where it cannot be told or is of no matter.

    Args:
        path: a video, of which the first frame is decoded once more, to be painted over.
        frame: its first frame.
    """
    if frame.format.name not in _READABLE or min(frame.width, frame.height) < _LEAST_PX or frame.interlaced_frame:
        return None
    with opened(path) as container:
        stream = video_stream(container)
        first = None if stream is None else next(decoded(path, container, stream, 1), None)
        return None if first is None else _place_in(first[0])


def _place_in(scratch: VideoFrame) -> str | None:
    """Paint one colour sample and see where its weight falls after upsampling."""
    scratch.make_writable()
    depth = 1 << (scratch.format.components[0].bits - 8)
    for plane in planes_of(scratch):
        plane[:] = _NEUTRAL * depth
    middle = _LEAST_PX // 4
    planes_of(scratch)[1][middle, middle] = _RAISED * depth
    around = scratch.reformat(format="yuv444p", threads=1).to_ndarray()[1, :_LEAST_PX, :_LEAST_PX].astype(np.float64)
    weight = np.where(around > _NEUTRAL + 3, around - _NEUTRAL, 0.0)
    if weight.sum() == 0:
        return None
    rows, columns = np.indices(weight.shape)
    right, down = ((weight * at).sum() / weight.sum() - 2 * middle for at in (columns, rows))
    return _PLACES.get((round(2 * right), round(2 * down)))
