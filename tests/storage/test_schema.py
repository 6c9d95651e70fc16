"""The schemas are complete, and rows fit them or are refused."""

from __future__ import annotations

import numpy as np
import pytest

from storage.schema import CLIPS, RENDERS, RUNS, SCHEMAS, describe, key_of, light, row, table_name, to_table
from storage.schema_fields import FAMILIES


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_field_says_its_unit_and_meaning(name: str) -> None:
    schema = SCHEMAS[name]
    assert table_name(schema) == name
    assert key_of(schema) == schema.names[0]
    assert len(set(schema.names)) == len(schema.names)
    for field in schema:
        assert field.metadata[b"doc"]
        assert b"unit" in field.metadata
    assert [entry["name"] for entry in describe(schema)] == schema.names


def test_a_row_has_every_column_and_no_other() -> None:
    made = row(CLIPS, clip_id="a", status="ok")
    assert list(made) == CLIPS.names
    assert made["fps"] is None
    with pytest.raises(KeyError, match="clips has no column frames_per_second"):
        row(CLIPS, frames_per_second=25)
    with pytest.raises(ValueError, match="done"):
        row(CLIPS, status="done")
    assert row(RUNS, status="running")["status"] == "running"
    assert row(RENDERS)["synthetic"] is True


def test_arrays_go_in_flat_and_come_back() -> None:
    landmarks = np.random.default_rng(0).random((3, 106, 2), dtype=np.float32)
    table = to_table(CLIPS, [{"clip_id": "a", "landmarks": landmarks, "fps": np.float32(25)}, {"clip_id": "b"}])
    assert table.schema == CLIPS
    first, second = table.to_pylist()
    assert np.array_equal(np.array(first["landmarks"], np.float32).reshape(3, 106, 2), landmarks)
    assert first["fps"] == 25
    assert second["landmarks"] is None


def test_a_value_of_the_wrong_kind_is_refused_with_its_column() -> None:
    with pytest.raises(TypeError, match=r"clips\.fps"):
        to_table(CLIPS, [{"clip_id": "a", "fps": "twenty-five"}])


def test_the_light_schema_leaves_the_pictures_out() -> None:
    names = light(CLIPS).names
    assert "clip_id" in names
    assert "sync_confidence" in names
    assert not {"crops", "masks", "mel", "audio", "landmarks"} & set(names)


def test_heavy_columns_know_their_family() -> None:
    heavy = {field.name: field.metadata[b"heavy"].decode() for field in CLIPS if b"heavy" in field.metadata}
    assert set(heavy.values()) == set(FAMILIES)
    assert heavy["crops"] == "picture" and heavy["audio"] == "sound"
    assert set(heavy) == set(CLIPS.names) - set(light(CLIPS).names)
