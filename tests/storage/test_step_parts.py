"""Parts of steps: a clip's columns come back alone and in their types, a part is whole or not there."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.schema import CLIPS
from storage.step_fields import BETWEEN_STEPS, is_plain, step_fields
from storage.step_parts import StepPart, joined_row, read_part, written_part

FIELDS = ("kps", "crops", "face_px", "speaking", "emotion")
WORK = {"status": "ok", "attempts": 1, "seconds": 0.5}


def values(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "kps": rng.random((3, 5, 2), dtype=np.float32), "crops": [b"a", bytes(seed)], "face_px": 10.0 + seed,
        "speaking": rng.random(3) > 0.5, "emotion": None,
    }  # fmt: skip


@pytest.fixture
def part(tmp_path: Path) -> StepPart:
    with written_part(tmp_path / "part.parquet", step_fields(FIELDS)) as writer:
        for clip in (4, 1):
            writer.write(clip, WORK, values(clip))
        writer.write(7, {"status": "failed", "reason": "lost", "error_type": "ValueError"}, {})
        writer.facts = {"frames": 3}
    return StepPart(tmp_path / "part.parquet")


def test_every_clip_comes_back_alone(part: StepPart) -> None:
    assert part.clips == [4, 1, 7]
    assert part.facts == {"frames": 3}
    for clip in (4, 1):
        wanted = values(clip)
        assert np.array_equal(part.value(clip, "kps").reshape(3, 5, 2), wanted["kps"])
        assert part.value(clip, "crops") == wanted["crops"]
        assert np.array_equal(part.value(clip, "speaking"), wanted["speaking"])
        assert part.value(clip, "emotion") is None
    assert part.light(["face_px"]) == {4: {"face_px": 14.0}, 1: {"face_px": 11.0}, 7: {"face_px": None}}
    assert (part.work(7) or {})["reason"] == "lost"
    assert part.work(2) is None


def test_a_row_of_a_part_goes_into_another_part_as_it_is(part: StepPart, tmp_path: Path) -> None:
    with written_part(tmp_path / "copy.parquet", step_fields(FIELDS)) as writer:
        writer.write(4, WORK, part.table(4))
    copy = StepPart(tmp_path / "copy.parquet")
    assert copy.table(4).equals(part.table(4))


def test_an_unknown_column_is_refused_and_leaves_the_part_that_was_there(part: StepPart) -> None:
    before = part.path.read_bytes()
    with pytest.raises(KeyError, match="blur"), written_part(part.path, step_fields(FIELDS)) as writer:
        writer.write(1, WORK, {"blur": 1.0})
    assert part.path.read_bytes() == before
    assert not list(part.path.parent.glob("*.partial"))
    with pytest.raises(KeyError):
        step_fields(("colour",))


def test_a_spoilt_part_counts_as_none(part: StepPart) -> None:
    part.path.write_bytes(part.path.read_bytes()[:-20])
    assert read_part(part.path) is None
    assert read_part(part.path.with_name("none.parquet")) is None


def test_a_clips_row_is_joined_from_parts_and_what_was_decided(part: StepPart) -> None:
    row = joined_row(CLIPS, {"clip_id": "a", "status": "ok", "face_px": 99.0}, [part], 4)
    assert row.schema == CLIPS
    (entry,) = row.to_pylist()
    assert (entry["clip_id"], entry["face_px"], len(entry["kps"]), entry["crops"][0]) == ("a", 99.0, 30, b"a")
    (left,) = joined_row(CLIPS, {"clip_id": "a", "status": "rejected"}, [part], 4, heavy=False).to_pylist()
    assert (left["crops"], left["kps"], left["face_px"]) == (None, None, 14.0)
    with pytest.raises(KeyError, match="colour"):
        joined_row(CLIPS, {"colour": 1}, [part], 4)


def test_columns_between_steps_are_no_columns_of_clips() -> None:
    assert not set(BETWEEN_STEPS) & set(CLIPS.names)
    assert is_plain(CLIPS.field("face_px")) and not is_plain(CLIPS.field("crops"))
