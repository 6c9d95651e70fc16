"""`dubwright dataset …`: what it tells of versions and of what changed between two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.cli_dataset import dataset_diff, dataset_report, dataset_show
from flows.options import Options
from flows.planning import plan_text
from storage.schema import CLIPS
from storage.shards import ShardWriter
from storage.versions import commit_version
from tasks.config import load_config
from tasks.estimate import estimate
from tasks.sources import Source
from tests.conftest import LIBRARY


def clip(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "clip_id": f"{number:020x}", "source_id": f"film {number}", "source_uri": f"/films/talk {number}.mp4",
        "start_s": 0.5, "end_s": 3.25, "status": "ok", "caption": "He speaks calmly.", "num_frames": 9,
        "crops": [b"no picture"], "caption_embedding": [0.5, 0.5], "split": "train", **changes,
    }  # fmt: skip


@pytest.fixture
def options(tmp_path: Path) -> Options:
    """A root with two versions of a dataset: forty clips said in other words, one more, one fewer, one left out."""
    root = tmp_path / "root"
    blurred = {"status": "rejected", "stage": "quality", "measure": "blur", "value": 2.0, "threshold": 8.0}
    new = [clip(i, caption="A man speaks calmly.", caption_embedding=[1.0, 0.0]) for i in range(1, 41)]
    versions = (
        [clip(i) for i in range(42)],
        [*new, clip(41, **blurred, crops=None), clip(99, source_uri="/films/new.mp4")],
    )
    for number, rows in enumerate(versions):
        with ShardWriter(tmp_path / f"rows{number}", CLIPS) as shards:
            shards.write(rows)
        commit_version(root, "talks", tmp_path / f"rows{number}", f"number {number}")
    return Options(root=str(root))


def test_a_diff_tells_clips_and_fields(options: Options) -> None:
    from storage.versions import list_versions

    first = list_versions(options.place())[0].dataset_id
    result, text, code = dataset_diff(options, first, "talks")
    assert code == 0 and "1 added, 1 removed, 41 changed" in text
    assert result["fields"] == {"caption": 40, "caption_embedding": 40, "crops": 1, "measure": 1, "stage": 1,
                                "status": 1,
                                "threshold": 1, "value": 1}  # fmt: skip
    assert result["changes"] == {"added": 1, "removed": 1, "changed": 41}
    assert "new.mp4 0.50–3.25 s" in text and "talk 0.mp4 0.50–3.25 s" in text
    assert "caption: “He speaks calmly.” → “A man speaks calmly.”" in text and "changed: caption_embedding" in text
    assert "more; --json tells all" in text and len(text.splitlines()) < 100
    items = {item["id"]: item for item in result["items"]}
    assert len(items) == 43 and items[f"{41:020x}"]["fields"]["crops"] == {"change": "gone"}
    assert items[f"{5:020x}"]["clip"] == "talk 5.mp4 0.50–3.25 s"
    assert items[f"{5:020x}"]["fields"]["caption"] == {"before": "He speaks calmly.", "after": "A man speaks calmly."}
    assert items[f"{5:020x}"]["fields"]["caption_embedding"] == {"change": "changed"}
    assert items[f"{41:020x}"]["fields"]["value"] == {"before": None, "after": 2.0}


def test_a_changed_file_is_told_and_restored(options: Options, capsys: pytest.CaptureFixture[str]) -> None:
    result, text, _ = dataset_show(options, "talks")
    assert "41 ok, 1 rejected" in text and "blur" in text
    assert "restored" not in capsys.readouterr().err
    part = next(Path(result["items"][0]["path"]).glob("part-*.parquet"))
    part.chmod(0o644)
    part.write_bytes(part.read_bytes()[:-9])
    assert dataset_show(options, "talks")[1] == text
    assert f"{part.name} had been changed; restored as committed" in capsys.readouterr().err


def test_a_page_of_any_version(options: Options, tmp_path: Path) -> None:
    result, text, _ = dataset_report(options, "talks", tmp_path / "page")
    assert text == result["report"] == str(tmp_path / "page" / "index.html")
    page = Path(text).read_text()
    assert "2 against 8" in page and "A man speaks calmly." in page and "number 1" in page
    assert dataset_report(options, "talks", None)[1].endswith(".report/index.html")


def test_a_plan_reads_well(tmp_path: Path) -> None:
    config = load_config("studio", tmp_path / "root", {"runtime.price_per_cpu_hour": 0.1, "runtime.in_process": True})
    films = [Source(str(path)) for path in (LIBRARY / "footage").glob("*.mp4")]
    text = plan_text(estimate(films, config))
    assert text.startswith(f"{len(films)} files ({len(films)} new)")
    for word in ("tracks", "crops", "caption", "time: ", "storage: ", "cost: ", "with one worker", "shipped with"):
        assert word in text
    assert "0 files (none)" in plan_text(estimate([], config))
