"""A manifest from anywhere: it writes nothing outside the renders, and no row of it brings the run down."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage import small_tables
from storage.errors import DubwrightError, InputFailed, InputRejected, UsageError
from storage.ids import file_sha256
from storage.layout import Root
from storage.small_tables import read_small_table
from storage.texts import LONGEST_LINE, read_text
from tasks.config import load_config
from tasks.jobs import Job, Planner, output_place, read_manifest
from tasks.manifest import read_table
from tasks.moods import MOST_PARTS, Moods
from tasks.speakers import read_rttm


def place(root: Root, output: str) -> Path:
    return output_place(Job("/films/a.mp4", "/films/a.wav", output=output, confined=True), "0" * 20, root)


@pytest.mark.parametrize(
    "output",
    ["../out.mp4", "a/../../out.mp4", "/tmp/out.mp4", "~/out.mp4", "~nobody-at-all/../../../out.mp4",
     "a\0b.mp4", "x" * 300 + ".mp4", "//etc/out.mp4", ".", "", "out.sh", "../renders-of-another/out.mp4"],
)  # fmt: skip
def test_no_output_of_a_manifest_lies_outside_the_renders(output: str, root: Root) -> None:
    with pytest.raises(InputRejected):
        place(root, output)


def test_no_link_leads_an_output_out(root: Root, tmp_path: Path) -> None:
    (root.renders / "series").symlink_to(tmp_path)
    (root.renders / "out.mp4").symlink_to(tmp_path / "theirs.mp4")
    for output in ("series/out.mp4", "out.mp4"):
        with pytest.raises(InputRejected, match="lies outside"):
            place(root, output)
    for output in ("series-2/out.mp4", "~root/out.mp4"):
        assert place(root, output) == root.renders / output


def test_an_input_that_never_ends_costs_itself_alone(root: Root, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    planner = Planner("dub", load_config(root=root.uri), "model", root)
    began = time.monotonic()
    for name in ("/dev/zero", str(tmp_path / "pipe.mp4"), "a\0b.mp4", str(tmp_path), "/proc/self/mem"):
        with pytest.raises(OSError):
            file_sha256(name)
        with pytest.raises((OSError, InputRejected)):
            planner.plan(Job(name, name))
    assert time.monotonic() - began < 60


NOT_TABLES = {
    "deep.jsonl": '{"video": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "list.jsonl": '{"video": ["a.mp4"], "audio": {"a": 1}}',
    "number.jsonl": '{"video": 5, "audio": true}',
    "digits.jsonl": '{"video": "a", "audio": "b", "priority": ' + "9" * 100_000 + "}",
    "cell.csv": "video,audio\n" + "a" * 200_000 + ",b\n",
    "line.csv": "video,audio\n" + "a" * (LONGEST_LINE + 1) + ",b\n",
    "nan.jsonl": '{"video": "a", "audio": "b", "priority": NaN}',
}


@pytest.mark.parametrize("name", NOT_TABLES)
def test_a_hostile_table_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(NOT_TABLES[name])
    with pytest.raises(UsageError):
        read_manifest(tmp_path / name)


def test_text_is_read_within_bounds(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(UsageError, match="no regular file"):
        read_table(tmp_path / "pipe.csv")
    (tmp_path / "device.csv").symlink_to("/dev/zero")
    with pytest.raises(UsageError, match="no regular file"):
        read_table(tmp_path / "device.csv")
    (tmp_path / "large.csv").write_bytes(b"video\n" + b"a\n" * 100)
    with pytest.raises(OSError, match="larger than"):
        read_text(tmp_path / "large.csv", most=64)


def bomb(path: Path, rows: int, letters: int, column: str = "video") -> Path:
    """A Parquet file of a few kilobytes that means `rows` times a text of `letters`."""
    once = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["a" * letters]))
    pq.write_table(pa.table({column: once, "audio": once}), path, compression="zstd")
    return path


def test_a_small_parquet_cannot_mean_a_large_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = bomb(tmp_path / "cell.parquet", 1, small_tables.LONGEST_CELL + 1)
    assert cell.stat().st_size < 20_000
    repeated = bomb(tmp_path / "repeated.parquet", 2000, 200_000)  # 400 MB of text in one dictionary entry
    assert repeated.stat().st_size < 40_000
    rows = bomb(tmp_path / "rows.parquet", small_tables.MOST_ROWS + 1, 1)
    for file, why in ((cell, "cell"), (repeated, "text"), (rows, "rows")):
        with pytest.raises(UsageError, match=why):
            read_table(file)
    monkeypatch.setattr(small_tables, "MOST_BYTES", 100)
    with pytest.raises(OSError, match="bytes unpacked"):
        read_small_table(bomb(tmp_path / "bytes.parquet", 100, 100, "other"))
    monkeypatch.setattr(small_tables, "MOST_BYTES", 1 << 30)
    monkeypatch.setattr(small_tables, "MOST_VALUES", 100)
    lists = pa.table({"video": ["a"], "audio": pa.array([["x"] * 1000])})
    pq.write_table(lists, tmp_path / "lists.parquet")
    with pytest.raises(OSError, match="values"):
        read_small_table(tmp_path / "lists.parquet")


def test_an_honest_parquet_is_read_as_it_is(tmp_path: Path) -> None:
    rows = [
        {"video": "a.mp4", "audio": ["b.wav", "c.wav"], "priority": 1.5},
        {"video": "ü.mp4", "audio": None, "priority": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "films.parquet")
    assert read_small_table(tmp_path / "films.parquet") == rows
    (tmp_path / "torn.parquet").write_bytes((tmp_path / "films.parquet").read_bytes()[:-9])
    with pytest.raises(UsageError, match="cannot be read"):
        read_table(tmp_path / "torn.parquet")


@pytest.mark.parametrize("line", ["nan 1", "inf 1", "1 inf", "1 -2", "1e309 1", "1 nan"])
def test_turns_have_times(line: str, tmp_path: Path) -> None:
    start, length = line.split()
    (tmp_path / "a.rttm").write_text(f"SPEAKER film 1 {start} {length} <NA> <NA> anna <NA> <NA>\n")
    with pytest.raises(InputFailed, match="line 1 is not RTTM"):
        read_rttm(tmp_path / "a.rttm")


def test_turns_and_cues_are_bounded(tmp_path: Path) -> None:
    turn = "SPEAKER film 1 1 2 <NA> <NA> anna <NA> <NA>\n"
    (tmp_path / "a.rttm").write_text(turn * (6 << 20 >> 5))
    with pytest.raises(InputFailed, match="larger than"):
        read_rttm(tmp_path / "a.rttm")
    (tmp_path / "a.vtt").write_text("WEBVTT\n\n" + "a" * (5 << 20))
    with pytest.raises(InputFailed, match="larger than"):
        Moods.read(tmp_path / "a.vtt")
    with pytest.raises(DubwrightError, match="parts"):
        Moods.read(" | ".join(f"{second}: calm" for second in range(MOST_PARTS + 1)))


def test_brackets_in_a_cue_take_no_time(tmp_path: Path) -> None:
    (tmp_path / "a.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\n" + "<" * 500_000 + "\n")
    began = time.monotonic()
    Moods.read(tmp_path / "a.vtt")
    assert time.monotonic() - began < 30  # minutes, where each bracket looks for its end


def test_a_hostile_row_of_json_is_no_defect(tmp_path: Path) -> None:
    """Whatever stands in the cells, the answer is a sentence of ours."""
    for value in (None, True, 5, 1e308, [], {}, [None], [[]], "\0", "../" * 1000, "\ud800", "~x/y"):
        for column in ("video", "audio", "emotion", "speakers", "output", "intensity", "priority"):
            entry = {"video": "a.mp4", "audio": "b.wav", column: value}
            (tmp_path / "films.jsonl").write_text(json.dumps(entry))
            with contextlib.suppress(UsageError):
                read_manifest(tmp_path / "films.jsonl")
