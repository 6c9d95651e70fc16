"""Dataset versions: named by content, kept by DVC, compared clip by clip and field by field."""

from __future__ import annotations

import datetime
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import version_rows
from storage.errors import DubwrightError, NotFound, UsageError
from storage.schema import CLIPS
from storage.shards import ShardWriter, read_rows, write_table
from storage.version_rows import digest_rows, write_sorted
from storage.versions import (
    checkout_version,
    commit_version,
    describe_version,
    diff_versions,
    list_versions,
    push_versions,
    show_version,
    tag_version,
)
from tests.storage.footage import scratch


def clip(number: int, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(number)
    return {
        "clip_id": f"{number:020x}", "status": "ok" if number % 4 else "rejected", "crops": [rng.bytes(30)] * 3,
        "landmarks": rng.random((3, 106, 2)), "emotion": "happy", "mouth_opening": [0.1, 0.2, 0.3],
        "created": datetime.datetime.now(datetime.UTC), "seconds": random.random(), **changes,
    }  # fmt: skip


def shards(place: Path, rows: list[dict[str, Any]], target_mb: float = 64) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    with ShardWriter(place, CLIPS, target_mb) as writer:
        for entry in rows:
            writer.write(entry)
    return place


@pytest.mark.slow
def test_the_life_of_a_dataset(tmp_path: Path) -> None:
    root, rows = tmp_path / "root", tmp_path / "rows"
    first = commit_version(root, "talks", shards(rows, [clip(i) for i in range(8)]), "the first")
    assert len(first) == 20
    # The same rows in another order, other shards, at another time: the same version.
    again = commit_version(root, "talks", shards(rows, [clip(i) for i in reversed(range(8))], 0.0), "again")
    assert again == first
    assert len(list_versions(root, "talks")) == 1

    changed = [clip(3, emotion="sad", mouth_opening=[0.1, 0.2, 0.4]), *(clip(i) for i in range(4, 9)), clip(1)]
    second = commit_version(root, "talks", shards(rows, changed), "the second")
    difference = diff_versions(root, f"talks@{first}", second)
    assert difference.added == [f"{8:020x}"]
    assert difference.removed == [f"{0:020x}", f"{2:020x}"]
    assert difference.changed == {f"{3:020x}": ["emotion", "mouth_opening"]}
    assert difference.fields == {"emotion": 1, "mouth_opening": 1}

    shown = show_version(root, "talks")
    assert (shown.version, shown.parent, shown.current, shown.rows) == (second, first, True, 7)
    assert shown.counts == {"ok": 5, "rejected": 2}
    assert shown.dataset_id == f"talks@{second}"
    assert describe_version(shown)["message"] == "the second"
    assert [v.version for v in list_versions(root)] == [first, second]
    assert [entry["clip_id"] for entry in read_rows(shown.path)] == sorted(entry["clip_id"] for entry in changed)

    assert tag_version(root, f"talks@{first[:6]}", "base").tags == ("base",)
    old = show_version(root, "talks@base")
    shutil.rmtree(old.path)
    restored = checkout_version(root, "talks@base")
    assert restored.current
    assert restored.rows == 8
    assert [entry["clip_id"] for entry in read_rows(restored.path)] == [f"{i:020x}" for i in range(8)]
    assert show_version(root, "talks").version == first

    part = next(iter(show_version(root, f"talks@{second}").path.glob("part-*.parquet")))
    part.unlink()
    part.write_bytes(b"spoiled")
    checkout_version(root, f"talks@{second}")
    assert len(list(read_rows(show_version(root, "talks").path))) == 7

    assert push_versions(root, str(tmp_path / "remote")) > 0
    shutil.rmtree(restored.path)
    shutil.rmtree(root / ".dvc" / "cache")
    assert checkout_version(root, "talks@base").rows == 8
    shutil.rmtree(restored.path)
    shutil.rmtree(root / ".dvc" / "cache")
    shutil.rmtree(tmp_path / "remote")
    with pytest.raises(DubwrightError, match="not in DVC's cache"):
        checkout_version(root, f"talks@{first}")


def test_unknown_names_are_answered_with_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="none yet"):
        show_version(tmp_path, "talks")
    with pytest.raises(NotFound):
        list_versions(tmp_path, "talks")
    assert list_versions(tmp_path) == []
    with pytest.raises(UsageError, match="cannot be a name"):
        commit_version(tmp_path, "../talks", shards(tmp_path / "rows", [clip(1)]))
    write_table(tmp_path / "none" / "part-00000.parquet", CLIPS.empty_table())
    with pytest.raises(UsageError, match="no row"):
        commit_version(tmp_path, "talks", tmp_path / "none")
    version = commit_version(tmp_path, "talks", tmp_path / "rows")
    with pytest.raises(NotFound, match=version[:8]):
        show_version(tmp_path, "talks@ffff")
    with pytest.raises(UsageError, match="looks like a version"):
        tag_version(tmp_path, "talks", "beef")


fields = st.fixed_dictionaries(
    {
        "emotion": st.sampled_from([None, "sad", "happy"]),
        "fps": st.sampled_from([None, 25.0, 30.0]),
        "pts": st.sampled_from([None, [], [0.0], [0.0, 0.04]]),
        "crops": st.sampled_from([None, [], [b""], [b"", b"a"], [b"a", b""]]),
        "mel": st.sampled_from([None, b"", b"x"]),
    }
)


@settings(deadline=None, max_examples=30)
@given(contents=st.lists(fields, min_size=1, max_size=6), order=st.randoms(use_true_random=False), data=st.data())
def test_the_version_follows_the_rows_and_only_them(contents: list[dict[str, Any]], order: Any, data: Any) -> None:
    place = scratch()
    rows = [{"clip_id": f"{i}", "status": "ok", **content} for i, content in enumerate(contents)]
    first = digest_rows(shards(place / "a", rows)).version
    mixed = list(rows)
    order.shuffle(mixed)
    mixed = [{**entry, "seconds": order.random(), "attempts": 2, "code_revision": "x"} for entry in mixed]
    assert digest_rows(shards(place / "b", mixed, 0.0)).version == first
    which = data.draw(st.integers(0, len(rows) - 1))
    other = data.draw(fields)
    changed = [{**entry, **(other if i == which else {})} for i, entry in enumerate(rows)]
    assert (digest_rows(shards(place / "c", changed)).version == first) == (other == contents[which])
    assert (
        digest_rows(shards(place / "d", [{"clip_id": "0", "status": "failed"}, *rows])).version == first
    )  # the last counts


def test_sorting_does_not_need_the_memory_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version_rows, "_BUCKET", 20_000)
    rows = [clip(i) for i in random.Random(0).sample(range(200), 200)]
    source = shards(tmp_path / "rows", [*rows, clip(7, emotion="sad")], 0.05)
    digests = digest_rows(source)
    (tmp_path / "out").mkdir()
    write_sorted(source, tmp_path / "out", digests)
    found = list(read_rows(tmp_path / "out"))
    assert [entry["clip_id"] for entry in found] == [f"{i:020x}" for i in range(200)]
    assert found[7]["emotion"] == "sad"
    assert digest_rows(tmp_path / "out").version == digests.version
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "rows"]
