"""What a frame says of the light it was graded for (SMPTE ST 2086, CTA-861.3), in the words that encoders take.

The structures are those of FFmpeg's ``libavutil/mastering_display_metadata.h`` and ``hdr_dynamic_metadata.h``.
"""

from __future__ import annotations

import struct
from typing import Any

from av.video.frame import VideoFrame

_MASTERING = struct.Struct("<22i")
_LIGHT = struct.Struct("<2I")
_CHROMATICITY, _LUMINANCE = 50_000, 10_000  # units of ST 2086: 0.00002 and 0.0001 cd/m²
_PER_SCENE = {
    "DYNAMIC_HDR_PLUS": "HDR10+ metadata", "DYNAMIC_HDR_VIVID": "HDR Vivid metadata",
    "DOVI_RPU_BUFFER": "Dolby Vision metadata", "DOVI_METADATA": "Dolby Vision metadata",
}  # fmt: skip


def mastering_display(frame: VideoFrame) -> str | None:
    """``G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)`` as x264 and x265 take it; None where the frame says nothing."""
    body = _side_data(frame).get("MASTERING_DISPLAY_METADATA")
    if body is None or len(body) < _MASTERING.size:
        return None
    numbers = _MASTERING.unpack(body[: _MASTERING.size])
    if not (numbers[20] and numbers[21]):
        return None
    parts = [numbers[at] / max(1, numbers[at + 1]) for at in range(0, 20, 2)]
    red, green, blue, white = ([round(value * _CHROMATICITY) for value in parts[at : at + 2]] for at in (0, 2, 4, 6))
    lowest, highest = round(parts[8] * _LUMINANCE), round(parts[9] * _LUMINANCE)
    points = "".join(
        f"{name}({x},{y})" for name, (x, y) in (("G", green), ("B", blue), ("R", red), ("WP", white))
    )  # fmt: skip
    return f"{points}L({highest},{lowest})"


def light_level(frame: VideoFrame) -> str | None:
    """``MaxCLL,MaxFALL`` in cd/m²; None where the frame says nothing."""
    body = _side_data(frame).get("CONTENT_LIGHT_LEVEL")
    if body is None or len(body) < _LIGHT.size:
        return None
    return "{},{}".format(*_LIGHT.unpack(body[: _LIGHT.size]))


def per_scene(frame: VideoFrame) -> tuple[str, ...]:
    """Names of the metadata that change from scene to scene; no encoder here writes them."""
    return tuple(sorted({name for kind, name in _PER_SCENE.items() if kind in _side_data(frame)}))


def _side_data(frame: VideoFrame) -> dict[str, Any]:
    entries: Any = frame.side_data
    try:
        return {entry.type.name: bytes(entry) for entry in entries}
    except ValueError:  # a kind that PyAV does not know: it then gives none
        return {}
