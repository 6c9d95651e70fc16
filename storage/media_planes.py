"""Between stored pictures (YUV planes, perhaps turned) and shown ones (RGB, upright), without loss outside a change.

A changed frame never takes a round trip through RGB: the difference between the changed and the given RGB picture is
turned into a difference of the planes and added to them. Where nothing changed the difference is zero and the planes
stay bit for bit what the decoder gave.
"""

from __future__ import annotations

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

# Kr and Kb of ITU-T H.273, by matrix_coefficients.
_WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087)} | {
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
_SWSCALE = {
    1: Colorspace.ITU709, 4: Colorspace.FCC, 5: Colorspace.ITU601, 6: Colorspace.ITU601, 7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020, 10: Colorspace.BT2020,
}  # fmt: skip
_NOT_SPECIFIED = 2
_FULL_RANGE = 2


class Orientation:
    """Turning between stored and upright pictures, for a container's display matrix (quarter turns and mirrors).

    Args:
        matrix: 9 integers, or None for "stored upright". Angles between the quarter turns are rounded to the nearest.
    """

    def __init__(self, matrix: tuple[int, ...] | None) -> None:
        a, b, c, d = (1, 0, 0, 1) if matrix is None else (matrix[0], matrix[1], matrix[3], matrix[4])
        self.transposed = abs(b) + abs(c) > abs(a) + abs(d)
        self.flip_rows = (b if self.transposed else d) < 0
        self.flip_columns = (c if self.transposed else a) < 0
        self.identity = not (self.transposed or self.flip_rows or self.flip_columns)

    def upright(self, picture: np.ndarray) -> np.ndarray:
        """Stored [H,W,...] → upright; a view where possible."""
        if self.transposed:
            picture = picture.swapaxes(0, 1)
        return picture[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]

    def stored(self, picture: np.ndarray) -> np.ndarray:
        """Upright [H,W,...] → stored, the inverse of `upright`."""
        picture = picture[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]
        return picture.swapaxes(0, 1) if self.transposed else picture

    def upright_box(self, box: tuple[int, int, int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
        """A box x0, y0, x1, y1 of the stored picture of `size` (width, height), in the upright one."""
        x0, y0, x1, y1 = box
        width, height = size
        if self.transposed:
            x0, y0, x1, y1, width, height = y0, x0, y1, x1, height, width
        if self.flip_columns:
            x0, x1 = width - x1, width - x0
        if self.flip_rows:
            y0, y1 = height - y1, height - y0
        return x0, y0, x1, y1


class Converter:
    """Stored frames → RGB arrays, with the colour matrix and range that the frames are tagged with.

    Untagged frames count as BT.709 from 720 lines on and as BT.601 below, as players do. One converter keeps one
    swscale context, so use one per file.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def rgb(self, frame: VideoFrame) -> np.ndarray:
        """uint8 [H,W,3] of the picture as stored (not turned)."""
        matrix = color_matrix(frame)
        source = _SWSCALE.get(matrix, Colorspace.ITU709)
        picture = self._reformatter.reformat(
            frame, format="rgb24", src_colorspace=source, dst_colorspace=source,
            dst_color_range=ColorRange.JPEG, threads=1,
        )  # fmt: skip
        return picture.to_ndarray()

    def planar(self, frame: VideoFrame, pix_fmt: str) -> VideoFrame:
        """The same picture in another YUV format; the frame itself where it has it already."""
        if frame.format.name == pix_fmt:
            return frame
        matrix = _SWSCALE.get(color_matrix(frame), Colorspace.ITU709)
        return self._reformatter.reformat(
            frame, format=pix_fmt, src_colorspace=matrix, dst_colorspace=matrix, threads=1
        )


def color_matrix(frame: VideoFrame) -> int:
    """matrix_coefficients (H.273) to read the frame with; never "not specified"."""
    tagged = int(frame.colorspace)
    if tagged in _WEIGHTS:
        return tagged
    return 1 if max(frame.height, frame.width) >= 1280 or frame.height >= 720 else 6


def changed_box(before: np.ndarray, after: np.ndarray) -> tuple[int, int, int, int] | None:
    """x0, y0, x1, y1 (exclusive) around the pixels in which two uint8 [H,W,3] pictures differ; None if in none."""
    rows = np.flatnonzero(_differs(before, after, axis=1))
    if len(rows) == 0:
        return None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(_differs(before[top:bottom], after[top:bottom], axis=0))
    return int(columns[0]), top, int(columns[-1]) + 1, bottom


def _differs(before: np.ndarray, after: np.ndarray, axis: int) -> np.ndarray:
    difference = cv2.absdiff(before, after)
    flat = difference.reshape(difference.shape[0], -1)
    if axis == 1:
        return flat.max(axis=1) > 0
    return flat.max(axis=0).reshape(-1, 3).max(axis=1) > 0


def apply_change(frame: VideoFrame, before: np.ndarray, after: np.ndarray) -> tuple[int, int, int, int] | None:
    """Add the difference `after - before` (uint8 RGB [H,W,3], as stored) to the planes of `frame`, in place.

    Planes are those that `Converter.planar` gives: 8 to 12 bits, 4:2:0, 4:2:2 or 4:4:4. The frame is copied first
    where a decoder still refers to it.
    Returns the box (stored pixels) that was touched, None for an unchanged picture.
    """
    box = changed_box(before, after)
    if box is None:
        return None
    frame.make_writable()
    planes = _planes(frame)
    step_y = planes[0].shape[0] // planes[1].shape[0] if len(planes) > 1 else 1
    step_x = planes[0].shape[1] // planes[1].shape[1] if len(planes) > 1 else 1
    height, width = planes[0].shape
    x0, y0 = box[0] // step_x * step_x, box[1] // step_y * step_y
    x1, y1 = min(width, -(-box[2] // step_x) * step_x), min(height, -(-box[3] // step_y) * step_y)

    rgb = cv2.subtract(after[y0:y1, x0:x1], before[y0:y1, x0:x1], dtype=cv2.CV_32F)
    k_red, k_blue = _WEIGHTS[color_matrix(frame)]
    full = int(frame.color_range) == _FULL_RANGE or frame.format.name.startswith("yuvj")
    depth = 1 << (frame.format.components[0].bits - 8)
    scale_y, scale_c = (depth, depth) if full else (depth * 219 / 255, depth * 224 / 255)
    luma = rgb @ np.array([k_red, 1 - k_red - k_blue, k_blue], dtype=np.float32)
    _add(planes[0][y0:y1, x0:x1], luma * scale_y, depth)
    if len(planes) == 1:
        return box
    for plane, channel, weight in ((planes[1], 2, k_blue), (planes[2], 0, k_red)):
        chroma: np.ndarray = (rgb[..., channel] - luma) * (scale_c / (2 * (1 - weight)))
        # Chroma sits between its luma pixels; the mean over them is the inverse of the upsampling to within the siting.
        target = plane[y0 // step_y : y1 // step_y, x0 // step_x : x1 // step_x]
        if chroma.shape != target.shape:
            chroma = cv2.resize(chroma, (target.shape[1], target.shape[0]), interpolation=cv2.INTER_AREA)
        _add(target, chroma, depth)
    return box


def _add(target: np.ndarray, change: np.ndarray, depth: int) -> None:
    summed = target.astype(np.float32) + change
    np.copyto(target, np.rint(np.clip(summed, 0, 256 * depth - 1)).astype(target.dtype))


def _planes(frame: VideoFrame) -> list[np.ndarray]:
    """Writable views [H,W] of the planes, uint8 or uint16."""
    dtype = np.dtype("<u2") if frame.format.components[0].bits > 8 else np.dtype(np.uint8)
    views = []
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), dtype=dtype).reshape(plane.height, plane.line_size // dtype.itemsize)
        views.append(rows[:, : plane.width])
    return views


def planes_of(frame: VideoFrame) -> list[np.ndarray]:
    """The planes of a frame as arrays [H,W] (views; do not write): for measuring."""
    return _planes(frame)
