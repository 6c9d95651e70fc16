"""Rows go into Parquet and come out the same, in order, in pieces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import InputFailed
from storage.schema import CLIPS, SOURCES
from storage.shards import ShardWriter, iter_tables, read_rows, row_count, shard_paths
from tests.storage.footage import scratch

rows = st.lists(
    st.fixed_dictionaries(
        {
            "clip_id": st.text("abcdef0123456789", min_size=4, max_size=20),
            "fps": st.none() | st.floats(1, 120),
            "crops": st.none() | st.lists(st.binary(max_size=40), max_size=4),
            "pts": st.none() | st.lists(st.floats(0, 1e5), max_size=5),
            "emotion": st.none() | st.text(max_size=10),
            "intensity": st.none() | st.integers(0, 3),
        }
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=40)
@given(given_rows=rows, target_mb=st.sampled_from([0.0, 0.0005, 64]))
def test_round_trip(given_rows: list[dict[str, Any]], target_mb: float) -> None:
    place = scratch()
    with ShardWriter(place, CLIPS, target_mb) as writer:
        for entry in given_rows:
            writer.write(entry)
    if not given_rows:
        assert writer.paths == []
        return
    found = list(read_rows(place))
    assert [{name: entry[name] for name in given_rows[0]} for entry in found] == given_rows
    assert list(found[0]) == CLIPS.names
    assert row_count(place) == writer.rows == len(given_rows)
    assert len(writer.paths) == (len(given_rows) if target_mb == 0.0 else len(shard_paths(place)))


def test_the_same_rows_have_the_same_bytes_however_they_came(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = [{"clip_id": str(i), "crops": [rng.bytes(50)] * 3, "landmarks": rng.random(10)} for i in range(30)]
    with ShardWriter(tmp_path / "a", CLIPS) as writer:
        writer.write(data)
    with ShardWriter(tmp_path / "b", CLIPS) as writer:
        for entry in data[:10]:
            writer.write(entry)
        writer.write(data[10:])
    assert (tmp_path / "a/part-00000.parquet").read_bytes() == (tmp_path / "b/part-00000.parquet").read_bytes()
    assert pq.read_schema(tmp_path / "a/part-00000.parquet").field("pts").metadata[b"unit"] == b"s"


def test_columns_filters_and_small_pieces(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, CLIPS) as writer:
        writer.write([{"clip_id": f"{i:03}", "split": "train" if i % 3 else "val"} for i in range(200)])
    assert all(table.num_rows <= 64 for table in iter_tables(tmp_path))
    found = list(read_rows(tmp_path, ["clip_id"], pads.field("split") == "val"))
    assert [entry["clip_id"] for entry in found] == [f"{i:03}" for i in range(0, 200, 3)]
    assert list(found[0]) == ["clip_id"]


def test_writers_beside_each_other_and_after_each_other(tmp_path: Path) -> None:
    for prefix in ("w0", "w1", "w0"):
        with ShardWriter(tmp_path, SOURCES, prefix=prefix) as writer:
            writer.write({"source_id": prefix})
    assert [path.name for path in shard_paths(tmp_path)] == ["w0-00000.parquet", "w0-00001.parquet", "w1-00000.parquet"]
    assert row_count(tmp_path) == 3


def test_an_error_writes_nothing(tmp_path: Path) -> None:
    def write_and_die() -> None:
        with ShardWriter(tmp_path, CLIPS) as writer:
            writer.write({"clip_id": "a"})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_die()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyError, match="no column"), ShardWriter(tmp_path, CLIPS) as writer:
        writer.write({"nonsense": 1})


def test_missing_and_broken_shards_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputFailed, match="no Parquet shards"):
        list(read_rows(tmp_path))
    with pytest.raises(InputFailed, match=r"gone\.parquet"):
        list(read_rows([tmp_path / "gone.parquet"]))
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 this is no parquet PAR1")
    with pytest.raises(InputFailed, match=r"bad\.parquet"):
        list(read_rows(tmp_path))
