"""`dubwright catalog` as a user types it: find, sort, look back, export; wrong questions."""

from __future__ import annotations

import csv
import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows.cli import run
from storage.catalog import Catalog
from storage.layout import Root
from storage.schema import CLIPS, RENDERS, row

Asked = Callable[..., dict[str, Any]]


@pytest.fixture
def asked(root: Root, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Runs `dubwright catalog …` in this process; the JSON object it gives, with its exit code."""
    monkeypatch.setattr("flows.cli.take_stdout", lambda: None)  # it would keep pytest's own

    def ask(*words: object) -> dict[str, Any]:
        capsys.readouterr()
        code = run(["catalog", *map(str, words), "--json", "--root", root.uri])
        return {**json.loads(capsys.readouterr().out), "code": code}

    return ask


@pytest.fixture
def filled(root: Root) -> Catalog:
    catalog = Catalog(root)
    catalog.upsert("models", {"model_id": "m-aaa", "name": "dub", "version": 1})
    catalog.upsert("models", {"model_id": "m-bbb", "name": "dub", "version": 2})

    def render(name: str, day: int, **more: Any) -> dict[str, Any]:
        made = datetime.datetime(2026, 3, day, 12, tzinfo=datetime.UTC)
        return row(RENDERS, render_id=name, created=made, output_uri=f"renders/{name}.mp4", **more)

    catalog.upsert(
        "renders",
        [
            render(
                "r1", 1, status="ok", emotion="very happy", caption="She beams", model_id="m-aaa", outside_psnr_db=41.0
            ),
            render("r2", 2, status="ok", emotion="0: calm | 4: Happy", model_id="m-bbb", outside_psnr_db=44.0),
            render("r3", 3, status="failed", reason="cut off", model_id="m-bbb"),
        ],
    )
    catalog.upsert("clips", [row(CLIPS, clip_id="c1", status="ok", transcript="the harbour at dawn", speech=[0.5, 2.0],
                                 identity=[1.0] + [0.0] * 511)])  # fmt: skip
    return catalog


def found(answer: dict[str, Any]) -> list[str]:
    assert answer["code"] == 0, answer
    return [item["id"] for item in answer["items"]]


def test_rows_are_found_by_what_they_are(asked: Asked, filled: Catalog) -> None:
    renders = ("list", "--sort", "created")
    assert found(asked(*renders)) == ["r1", "r2", "r3"]
    assert found(asked(*renders, "--emotion", "happy")) == ["r1", "r2"]
    assert found(asked(*renders, "--model", "dub")) == ["r1", "r2", "r3"]
    assert found(asked(*renders, "--model", "dub@2")) == ["r2", "r3"]
    assert found(asked(*renders, "--model", "m-a")) == ["r1"]
    assert found(asked(*renders, "--since", "2026-03-02")) == ["r2", "r3"]
    assert found(asked(*renders, "--since", "2026-03-02T12:30")) == ["r3"]
    assert found(asked(*renders, "--until", "2026-03-02")) == ["r1", "r2"]
    assert found(asked(*renders, "--until", "2026-03-02T13:00+02:00")) == ["r1"]
    assert found(asked(*renders, "--since", "1h")) == []
    assert found(asked(*renders, "--status", "ok", "--where", "outside_psnr_db < 42 OR outside_psnr_db IS NULL")) == [
        "r1"
    ]
    assert found(asked("list", "--sort", "-outside_psnr_db", "-n", 2)) == ["r2", "r1"]
    assert found(asked("search", "--words", "harbour dusk")) == ["c1"]
    assert found(asked("search", "-t", "renders", "--words", "r2", "--emotion", "calm")) == ["r2"]
    assert found(asked("list", "-t", "clips", "--since", "1h")) == ["c1"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["list", "--since", "yesterday"], "'yesterday' is no date"),
        (["list", "--status", "good"], "no such status"),
        (["search", "--model", "dub"], "clips have no model"),
        (["list", "--sort", "colour"], "no column 'colour'"),
        (["list", "--at", "never"], "no version never"),
        (["export", "rows.xlsx"], "must end in"),
        (["tag", "a", "--version", "3"], "versions of one table"),
        (["tag", "a", "--delete"], "no table has the tag"),
    ],
)
def test_wrong_questions_are_explained(asked: Asked, filled: Catalog, words: list[str], says: str) -> None:
    answer = asked(*words)
    assert answer["code"] in (1, 2)
    assert says in answer["error"]["message"]
    assert answer["error"]["remedy"]


def test_every_row_and_column_is_exported(asked: Asked, filled: Catalog, tmp_path: Path) -> None:
    for name in ("rows.parquet", "rows.csv", "rows.jsonl"):
        assert asked("export", tmp_path / name, "-t", "renders", "--status", "ok")["items"][0]["rows"] == 2
    table = pq.read_table(tmp_path / "rows.parquet")
    assert sorted(table["render_id"].to_pylist()) == ["r1", "r2"]
    assert set(RENDERS.names) - set(table.column_names) == {"identity", "caption_embedding"}  # nobody has one yet
    with (tmp_path / "rows.csv").open() as file:
        rows = sorted(csv.DictReader(file), key=lambda entry: entry["render_id"])
    assert [(entry["emotion"], entry["created"]) for entry in rows] == [
        ("very happy", "2026-03-01T12:00:00+00:00"), ("0: calm | 4: Happy", "2026-03-02T12:00:00+00:00"),
    ]  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert {line["render_id"]: line["outside_psnr_db"] for line in lines} == {"r1": 41.0, "r2": 44.0}
    asked("export", tmp_path / "clips.parquet")
    assert pq.read_table(tmp_path / "clips.parquet")["identity"].to_pylist() == [[1.0] + [0.0] * 511]
    asked("export", tmp_path / "clips.csv")
    with (tmp_path / "clips.csv").open() as file:
        [clip] = csv.DictReader(file)
    assert json.loads(clip["speech"]) == [0.5, 2.0] and "identity" not in clip
    assert asked("export", tmp_path / "none.csv", "-t", "sources")["items"][0]["rows"] == 0
    assert (tmp_path / "none.csv").read_text().startswith("source_id,")


def test_the_catalog_can_be_seen_as_it_was(asked: Asked, filled: Catalog, tmp_path: Path) -> None:
    assert found(asked("tag", "before")) == ["clips", "renders", "models"]
    filled.upsert("renders", row(RENDERS, render_id="r4", status="ok"))
    filled.delete("renders", "render_id = 'r1'")
    assert found(asked("list", "--at", "before", "--sort", "created")) == ["r1", "r2", "r3"]
    assert asked("export", tmp_path / "then.jsonl", "-t", "renders", "--at", "before")["items"][0]["rows"] == 3
    assert sorted(found(asked("list"))) == ["r2", "r3", "r4"]
    kept = asked("versions")["items"]
    assert [entry["tags"] for entry in kept if entry["tags"]] == ["before"]
    assert found(asked("list", "--at", kept[-1]["version"])) == []  # the table was made, nothing written yet
    assert len(found(asked("tag", "before", "--delete"))) == 3
    assert asked("list", "--at", "before")["code"] == 2
