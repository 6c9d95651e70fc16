"""Training data: CLIPS rows, decoded and filtered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from storage.errors import DubwrightError
from tasks.training.data import COLUMNS, decode_clip, read_clips, rows_of

Make = Callable[..., dict[str, Any]]


def test_only_usable_rows_of_the_split_are_read(clip_row: Make) -> None:
    rows = [clip_row(0), clip_row(1, split="val"), clip_row(2, status="rejected"), clip_row(3, crops=[])]
    assert [row["clip_id"] for row in rows_of(rows)] == ["clip0", "clip1"]
    assert [clip.clip_id for clip in read_clips(rows, "val")] == ["clip1"]
    assert len(list(read_clips(rows, limit=1))) == 1


def test_a_clip_is_decoded_in_rgb_with_its_own_clock(clip_row: Make) -> None:
    clip = decode_clip(clip_row(5, frames=10))
    assert clip.frames.shape == (10, 64, 64, 3)
    assert clip.frames.dtype == np.uint8
    red, _, blue = clip.frames[0, 32, 14].astype(int)
    assert red > blue + 20, "skin is redder than it is blue"
    assert set(np.unique(clip.labels)) <= {0, 1, 2, 3}
    assert clip.pts[0] == 0
    assert clip.pts[1] == pytest.approx(0.04)
    assert np.abs(clip.audio).max() <= 1
    assert len(clip.audio) == 6400
    assert clip.identity is not None


def test_every_nth_frame_keeps_times_and_truth_together(clip_row: Make) -> None:
    row = clip_row(5, frames=10)
    whole, third = decode_clip(row), decode_clip(row, every=3)
    assert len(third) == 4
    assert np.array_equal(third.frames, whole.frames[::3])
    assert np.array_equal(third.pts, whole.pts[::3])
    assert np.array_equal(third.mouth_opening, whole.mouth_opening[::3])


def test_a_clip_without_identity_has_none(clip_row: Make) -> None:
    assert decode_clip(clip_row(0, identity=None)).identity is None


def test_a_broken_picture_names_its_clip(clip_row: Make) -> None:
    row = clip_row(7)
    row["crops"] = [b"no picture", *row["crops"][1:]]
    with pytest.raises(DubwrightError, match="clip7"):
        decode_clip(row)


def test_columns_that_disagree_name_their_clip(clip_row: Make) -> None:
    row = clip_row(7)
    row["masks"] = row["masks"][:-1]
    with pytest.raises(DubwrightError, match="clip7 has 20 crops, 19 masks"):
        decode_clip(row)


def test_the_columns_read_are_those_the_decoder_needs(clip_row: Make) -> None:
    row = clip_row(1)
    assert len(decode_clip({name: row[name] for name in COLUMNS})) == 20
