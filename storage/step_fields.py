"""The columns that steps hand to each other: those of a clip, and some that no clip keeps."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from storage.schema import CLIPS

_REALS = pa.list_(pa.float32())

BETWEEN_STEPS: dict[str, pa.Field] = {
    field.name: field
    for field in (
        pa.field("first", pa.int64(), metadata={"unit": "", "doc": "index of the first frame in the file"}),
        pa.field("still", pa.bool_(), metadata={"unit": "", "doc": "a still picture, no film"}),
        pa.field("bbox", _REALS, metadata={"unit": "source px", "doc": "[T,4] flat: x0, y0, x1, y1"}),
        pa.field("score", _REALS, metadata={"unit": "0..1", "doc": "[T] of the detector"}),
        pa.field("motion", _REALS, metadata={"unit": "grey levels", "doc": "[T] change of the mouth"}),
        pa.field("source_landmarks", _REALS, metadata={"unit": "source px", "doc": "[T,106,2] flat"}),
        pa.field("unit_matrices", pa.list_(pa.float64()), metadata={"unit": "px", "doc": "[T,2,3] flat: to 128 px"}),
        pa.field("voice_spans", pa.list_(pa.float64()), metadata={"unit": "s", "doc": "start, end, … in the source"}),
        pa.field("sync_sure", pa.bool_(), metadata={"unit": "", "doc": "the clip alone tells its offset"}),
        pa.field("sync_margin", pa.float64(), metadata={"unit": "", "doc": "best rival minus minimum distance"}),
        pa.field("sync_heard", pa.float64(), metadata={"unit": "0..1", "doc": "share of windows with sound"}),
        pa.field("sync_windows", pa.float64(), metadata={"unit": "windows", "doc": "how many were averaged"}),
        pa.field("sync_between", pa.float64(), metadata={"unit": "1/25 s", "doc": "offset beyond whole frames"}),
        pa.field("sync_unrelated", pa.float64(), metadata={"unit": "", "doc": "distance of unrelated sound"}),
        pa.field("sync_curve", _REALS, metadata={"unit": "", "doc": "[2 max_sync_offset + 1] mean distances"}),
        pa.field("sync_mass", _REALS, metadata={"unit": "s", "doc": "[2 max_sync_offset + 1] full agreement"}),
        pa.field("sync_table", _REALS, metadata={"unit": "", "doc": "[W, 2 max_sync_offset + 1] flat distances"}),
        pa.field("lips_start_s", pa.float64(), metadata={"unit": "s", "doc": "frame of the first window"}),
        pa.field("lips_lead", pa.int64(), metadata={"unit": "frames", "doc": "of a window before its own"}),
        pa.field("lips_size", pa.int64(), metadata={"unit": "frames", "doc": "of a window"}),
        pa.field("read_emotion", pa.string(), metadata={"unit": "", "doc": "as face and voice tell"}),
        pa.field("read_intensity", pa.int64(), metadata={"unit": "0..3", "doc": "as face and voice tell"}),
    )
}
"""Columns of parts (`storage.step_parts`) that are no columns of a clip."""


def step_fields(names: Iterable[str]) -> list[pa.Field]:
    """The Arrow fields of these names.

    Raises:
        KeyError: a name that neither clips nor steps know.
    """
    return [BETWEEN_STEPS[name] if name in BETWEEN_STEPS else CLIPS.field(name) for name in names]


def is_plain(field: pa.Field) -> bool:
    """Whether a column holds one number, word or flag a row: small enough to be kept for all clips of a film."""
    return not (pa.types.is_nested(field.type) or pa.types.is_binary(field.type))
