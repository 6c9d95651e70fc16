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
        pa.field("bbox", _REALS, metadata={"unit": "source px", "doc": "[T,4] flat: x0, y0, x1, y1"}),
        pa.field("score", _REALS, metadata={"unit": "0..1", "doc": "[T] of the detector"}),
        pa.field("motion", _REALS, metadata={"unit": "grey levels", "doc": "[T] change of the mouth"}),
        pa.field("source_landmarks", _REALS, metadata={"unit": "source px", "doc": "[T,106,2] flat"}),
        pa.field("unit_matrices", pa.list_(pa.float64()), metadata={"unit": "px", "doc": "[T,2,3] flat: to 128 px"}),
        pa.field("sync_evidence", _REALS, metadata={"unit": "", "doc": "[T] how well the lips fit the sound there"}),
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
