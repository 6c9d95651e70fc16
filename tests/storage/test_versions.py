"""Dataset versions: named by content, kept by DVC, compared clip by clip and field by field."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from storage.catalog import Catalog
from storage.errors import DubwrightError, NotFound, UsageError
from storage.schema import CLIPS
from storage.shards import ShardWriter, read_rows, write_table
from storage.versions import (
    catalogue_version,
    checkout_version,
    commit_version,
    describe_version,
    diff_versions,
    list_versions,
    push_versions,
    show_version,
    tag_version,
)
from tests.conftest import PROJECT


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
    films = {entry["source_uri"] for entry in read_rows(show_version(root, "talks").path)}
    assert films == {f"/footage/{i}.mp4" for i in range(3)}
    moved = [clip(i, source_uri=f"/new place/{i // 3}.mp4") for i in range(8)]
    assert commit_version(root, "talks", shards(rows, moved)) == first
    found = {entry["source_uri"] for entry in read_rows(show_version(root, "talks").path, ["source_uri", "clip_id"])}
    assert found == {f"/new place/{i}.mp4" for i in range(3)}
    assert show_version(root, "talks").message == "the first"

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

    spoilt = show_version(root, f"talks@{second}").path
    part = next(spoilt.glob("picture/part-*.parquet"))
    assert part.stat().st_mode & 0o222 == 0
    part.unlink()
    part.write_bytes(b"spoiled")
    (spoilt / "index" / "more.parquet").write_bytes(b"not its own")
    looked_at = checkout_version(root, f"talks@{second}")
    assert looked_at.restored == ("index/more.parquet", "picture/" + part.name)
    assert checkout_version(root, f"talks@{second}").restored == ()
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
    assert commit_version(root, "talks", shards(rows, moved)) == first  # the rows are at hand: it is made again
    assert checkout_version(root, f"talks@{first}").restored == ()


@pytest.mark.slow
def test_a_version_grows_from_another(tmp_path: Path) -> None:
    root = tmp_path / "root"
    Catalog(root).upsert("clips", [{"clip_id": "a"}])
    base = commit_version(root, "talks", shards(tmp_path / "rows", [clip(i) for i in range(9)]))
    catalogue_version(root, f"talks@{base}")
    Catalog(root).upsert("clips", [{"clip_id": "b"}])
    tag_version(root, f"talks@{base}", "base")
    assert [entry["clip_id"] for entry in Catalog(root).rows_at("clips", "talks-base")] == ["a"]

    changes = {f"{4:020x}": {"split": "val"}}
    fresh = shards(tmp_path / "rows", [clip(i, emotion="sad") for i in range(3)])
    grown = commit_version(root, "talks", fresh, base="base", without={"source 0", "source 2"}, changes=changes)
    whole = [clip(i, emotion="sad") for i in range(3)] + [clip(i) for i in range(3, 6)]
    whole[4]["split"] = "val"
    assert commit_version(tmp_path / "other", "talks", shards(tmp_path / "rows", whole)) == grown
    places = [folder / "datasets" / "talks" / grown for folder in (root, tmp_path / "other")]
    files = [{path.relative_to(place): path.read_bytes() for path in place.rglob("*.parquet")} for place in places]
    assert files[0] == files[1]
    records = [yaml.safe_load(place.with_name(f"{grown}.dvc").read_text())["outs"][0]["md5"] for place in places]
    assert records[0] == records[1]
    difference = diff_versions(root, "talks@base", grown)
    assert len(difference.removed) == 3 and not difference.added
    assert difference.fields == {"emotion": 3, "split": 1}
    assert {path.name for path in places[0].parent.parent.glob("*/*.partial")} == set()


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


@pytest.mark.slow
def test_a_version_comes_from_an_object_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = "memory://bucket/versions"
    monkeypatch.setenv("DUBWRIGHT_MIRROR", str(tmp_path / "one machine"))
    version = commit_version(root, "talks", shards(tmp_path / "rows", [clip(i) for i in range(4)]), "the first")
    monkeypatch.setenv("DUBWRIGHT_MIRROR", str(tmp_path / "another"))
    found = checkout_version(root, "talks", make_current=False)
    assert (found.version, found.message, found.rows) == (version, "the first", 4)
    rows = list(read_rows(found.path))
    assert {entry["source_uri"] for entry in rows} == {"/footage/0.mp4", "/footage/1.mp4"}
    assert all(len(entry["crops"]) == 3 for entry in rows)
    more = commit_version(root, "talks", shards(tmp_path / "rows", [clip(9)]), base=version)
    assert len(list(read_rows(show_version(root, f"talks@{more}").path))) == 5


_COMMIT = """
import sys
from storage.versions import commit_version
print("ready", flush=True)
print(commit_version(*sys.argv[1:4]))
"""


@pytest.mark.slow
def test_a_commit_that_is_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    rows = shards(tmp_path / "rows", [clip(i) for i in range(40)])
    calm = commit_version(tmp_path / "calm", "talks", rows)
    command = [sys.executable, "-c", _COMMIT, str(tmp_path / "root"), "talks", str(rows)]
    for wait_s in (0.05, 0.6, 1.2):
        with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            time.sleep(wait_s)
            process.kill()
    assert commit_version(tmp_path / "root", "talks", rows) == calm
    folders = [tmp_path / name / "datasets" / "talks" for name in ("root", "calm")]
    files = [
        {
            str(path.relative_to(place)): path.read_bytes()
            for path in sorted((place / calm).rglob("*"))
            if path.is_file()
        }
        for place in folders
    ]
    assert files[0] == files[1]
    names = [{path.name for path in place.iterdir()} for place in folders]
    assert names[0] == names[1]
    assert list((tmp_path / "root" / "cache" / "gathering").iterdir()) == []
