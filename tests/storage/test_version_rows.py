"""A version's files depend on its rows alone: not on order, sharding, the version before, time or configuration."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as pads
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import version_places
from storage.schema import CLIPS
from storage.shards import iter_tables, read_rows, row_count
from storage.version_places import place_of
from storage.version_rows import Gathering, version_name, write_version
from tests.storage.footage import scratch
from tests.storage.test_versions import clip, shards


def make(
    rows: list[dict[str, Any]],
    place: Path,
    like: Path | None = None,
    target_mb: float = 64,
    base: Path | None = None,
    without: set[str] | None = None,
    changes: dict[str, dict[str, Any]] | None = None,
) -> tuple[str, Path, dict[str, str]]:
    """A version of rows in folder `place`: its name, its folder, what was linked."""
    place.mkdir(parents=True)
    with Gathering(CLIPS, place / "rows.arrow") as gathering:
        if rows:
            gathering.add(iter_tables(shards(place / "rows", rows, target_mb)))
        if base is not None:
            gathering.add_version(base, without or set(), changes)
        entries = gathering.finish()
        linked = write_version(gathering, entries, place / "version", base or like)
    return version_name(entries), place / "version", linked


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of every file."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


fields = st.fixed_dictionaries(
    {
        "emotion": st.sampled_from([None, "sad", "happy"]),
        "fps": st.sampled_from([None, 25.0, 30.0]),
        "pts": st.sampled_from([None, [], [0.0], [0.0, 0.04]]),
        "crops": st.sampled_from([None, [], [b""], [b"", b"a"], [b"a", b""], [b"a" * 9000]]),
        "mel": st.sampled_from([None, b"", b"x"]),
    }
)


@settings(deadline=None, max_examples=12)
@given(contents_=st.lists(fields, min_size=1, max_size=9), order=st.randoms(use_true_random=False), data=st.data())
def test_the_same_rows_are_the_same_bytes(contents_: list[dict[str, Any]], order: Any, data: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(version_places, "SHARD_BYTES", 12_000)
        place = scratch()
        rows = [
            {"clip_id": f"{i}", "source_id": f"{i // 2}", "status": "ok", **each} for i, each in enumerate(contents_)
        ]
        name, folder, _ = make(rows, place / "a")
        mixed = [
            {**entry, "config_hash": str(order.random()), "code_revision": "x", "source_uri": f"/elsewhere/{i}.mp4"}
            for i, entry in enumerate(rows)
        ]
        order.shuffle(mixed)
        which = data.draw(st.integers(0, len(rows) - 1))
        other = {**rows[which], **data.draw(fields)}
        parent_rows = [other if i == which else entry for i, entry in enumerate(rows)][order.randrange(2) :]
        parent_name, parent, _ = make(parent_rows, place / "b") if parent_rows else ("", None, {})

        again, same, _ = make([{"clip_id": "0", "status": "failed"}, *mixed], place / "c", parent, 0.0)
        assert again == name and contents(same) == contents(folder)
        assert (parent_name == name) == (parent_rows == rows)

        # The same by growth: what the version before has stays, the rest comes anew.
        if parent is not None:
            anew = {entry["source_id"] for entry in rows[:2]} | {other["source_id"]}
            fresh = [entry for entry in mixed if entry["source_id"] in anew]
            grown, grown_folder, _ = make(fresh, place / "d", base=parent, without=anew)
            assert grown == name and contents(grown_folder) == contents(folder)


def test_where_files_lay_is_no_part_of_a_version(tmp_path: Path) -> None:
    lost = {"clip_id": "a", "source_id": "s", "status": "failed"}
    here = {**lost, "source_uri": "/here/film.mp4", "reason": "/here/film.mp4: cut off"}
    there = {**lost, "source_uri": "s3://there/film.mp4", "reason": "s3://there/film.mp4: cut off"}
    first, second = make([here], tmp_path / "a"), make([there], tmp_path / "b")
    assert first[0] == second[0] and contents(first[1]) == contents(second[1])
    assert next(read_rows(first[1]))["reason"] == "film.mp4: cut off"


def test_a_clip_more_changes_one_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version_places, "SHARD_BYTES", 60_000)
    rows = [clip(i) for i in range(200)]
    _, first, _ = make(rows, tmp_path / "a")
    one, more, linked = make([clip(10_000)], tmp_path / "b", base=first)
    names = {path.name for path in more.glob("*.parquet")}
    assert len(names) > 10
    changed = names - set(linked)
    assert 1 <= len(changed) <= 2 and {name for name in linked if "/" not in name} == names - changed
    assert all(os.path.samefile(more / name, old) for name, old in linked.items())
    whole, folder, _ = make([*rows, clip(10_000)], tmp_path / "c")
    assert whole == one and contents(folder) == contents(more)


def test_a_changed_label_leaves_pictures_and_sound_alone(tmp_path: Path) -> None:
    rows = [clip(i, mel=b"sound", split="train") for i in range(5)]
    _, first, _ = make(rows, tmp_path / "a")
    name, folder, linked = make([], tmp_path / "b", base=first, changes={rows[2]["clip_id"]: {"split": "val"}})
    assert sorted(linked) == ["picture/part-all.parquet", "sound/part-all.parquet"]
    rows[2]["split"] = "val"
    assert (name, contents(folder)) == ((whole := make(rows, tmp_path / "c"))[0], contents(whole[1]))
    louder = [{**entry, "mel": b"other"} for entry in rows]
    assert sorted(make(louder, tmp_path / "d", folder)[2]) == ["part-all.parquet", "picture/part-all.parquet"]
    with pytest.raises(KeyError, match="crops"):
        make([], tmp_path / "e", base=first, changes={rows[2]["clip_id"]: {"crops": []}})


def test_rows_are_read_whole_in_order_and_by_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version_places, "SHARD_BYTES", 30_000)
    rows = [clip(i, split="train" if i % 3 else "val", mel=bytes([i])) for i in random.Random(0).sample(range(60), 60)]
    _, folder, _ = make([*rows, clip(7, emotion="sad", mel=b"7", split="train")], tmp_path / "a", target_mb=0.01)
    found = list(read_rows(folder))
    known = {entry["clip_id"]: entry for entry in rows}
    order = sorted(known.values(), key=lambda entry: place_of(entry["source_id"], entry["clip_id"]))
    assert [entry["clip_id"] for entry in found] == [entry["clip_id"] for entry in order]
    assert row_count(folder) == 60
    assert {entry["clip_id"]: entry["emotion"] for entry in found}[f"{7:020x}"] == "sad"
    for entry in found:
        assert entry["crops"] == known[entry["clip_id"]]["crops"]
        assert np.array_equal(np.float32(entry["landmarks"]), np.float32(known[entry["clip_id"]]["landmarks"]).ravel())
    held_out = list(read_rows(folder, ["mel", "clip_id", "config_hash"], pads.field("split") == "val"))
    assert sorted(entry["clip_id"] for entry in held_out) == sorted(e["clip_id"] for e in rows if e["split"] == "val")
    assert all(entry["mel"] == known[entry["clip_id"]]["mel"] for entry in held_out)
    assert list(held_out[0]) == ["mel", "clip_id", "config_hash"] and held_out[0]["config_hash"] is None
    assert [path.name for path in (tmp_path / "a").iterdir() if "arrow" in path.name] == []
