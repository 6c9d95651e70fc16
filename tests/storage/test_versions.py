"""Dataset versions: named by content, kept by DVC, compared clip by clip and field by field."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.errors import DubwrightError, NotFound, UsageError
from storage.schema import CLIPS
from storage.shards import ShardWriter, read_rows, write_table
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


def clip(number: int, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(number)
    return {
        "clip_id": f"{number:020x}", "status": "ok" if number % 4 else "rejected", "crops": [rng.bytes(30)] * 3,
        "landmarks": rng.random((3, 106, 2)), "emotion": "happy", "mouth_opening": [0.1, 0.2, 0.3],
        "source_id": f"source {number // 3}", "source_uri": f"/footage/{number // 3}.mp4", "start_s": number % 3 * 2.0,
        "end_s": number % 3 * 2.0 + 1.5, "code_revision": secrets.token_hex(4), "config_hash": secrets.token_hex(4),
        **changes,
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
    assert difference.values == {f"{3:020x}": {"emotion": ("happy", "sad")}}
    assert difference.names[f"{3:020x}"] == "1.mp4 0.00–1.50 s"
    assert difference.names[f"{2:020x}"] == "0.mp4 4.00–5.50 s"

    shown = show_version(root, "talks")
    assert (shown.version, shown.parent, shown.current, shown.rows) == (second, first, True, 7)
    assert shown.counts == {"ok": 5, "rejected": 2}
    assert shown.dataset_id == f"talks@{second}"
    assert describe_version(shown)["message"] == "the second"
    assert [v.version for v in list_versions(root)] == [first, second]
    assert {entry["clip_id"] for entry in read_rows(shown.path)} == {entry["clip_id"] for entry in changed}

    assert tag_version(root, f"talks@{first[:6]}", "base").tags == ("base",)
    old = show_version(root, "talks@base")
    shutil.rmtree(old.path)
    restored = checkout_version(root, "talks@base")
    assert restored.current
    assert restored.rows == 8
    assert {entry["clip_id"] for entry in read_rows(restored.path)} == {f"{i:020x}" for i in range(8)}
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
