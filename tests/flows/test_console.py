"""What is written where: numbers that read well, JSON that is JSON, progress in plain lines."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flows import console
from tests.conftest import PROJECT


def test_only_results_reach_standard_output() -> None:
    script = """
import os, subprocess, sys
from flows.console import emit_json, say, take_stdout
take_stdout(); take_stdout()
print("printed"); os.write(1, b"written\\n"); subprocess.run(["echo", "from a child"]); say("said")
emit_json({"a": float("nan"), "b": [1, 2.5], "c": None})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert done.stdout == '{"a": null, "b": [1, 2.5], "c": null}\n'
    assert {"printed", "written", "from a child", "said"} <= set(done.stderr.splitlines())


def test_a_run_goes_on_when_who_listened_has_gone(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from flows.console import Progress, say
say("first"); sys.stdin.readline()
with Progress("work", 2) as progress:
    for _ in range(2):
        say("more"); progress.advance()
Path(sys.argv[1]).write_text("made")
"""
    run = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "made")], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd=PROJECT,
    )  # fmt: skip
    assert run.stderr is not None
    assert run.stderr.readline() == "first\n"
    run.stderr.close()
    run.communicate("go on\n")
    assert (run.returncode, (tmp_path / "made").read_text()) == (0, "made")


def test_json_takes_what_rows_hold(capsys: pytest.CaptureFixture[str]) -> None:
    given = {
        "array": np.arange(3, dtype=np.float32), "number": np.float32(0.5), "bytes": b"1234",
        "nested": [{"x": np.int64(3)}],
        "when": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), "infinite": float("inf"), "yes": True,
    }  # fmt: skip
    console.emit_json(given)
    assert json.loads(capsys.readouterr().out) == {
        "array": [0.0, 1.0, 2.0], "number": 0.5, "bytes": "<4 bytes>", "nested": [{"x": 3}],
        "when": "2026-01-02 00:00:00+00:00", "infinite": None, "yes": True,
    }  # fmt: skip


def test_tables_align_numbers_right_and_text_left() -> None:
    text = console.table([{"name": "a", "value": 1.5}, {"name": "longer", "value": None}, {"name": "c", "value": 123}])
    assert text.splitlines() == [
        "name    value",
        "------  -----",
        "a         1.5",
        "longer",
        "c         123",
    ]
    assert console.table([]) == "(none)"


def test_durations() -> None:
    assert [console.duration(s) for s in (0.04, 9.94, 65, 3725)] == ["0.0 s", "9.9 s", "1:05", "1:02:05"]


def test_progress_counts_and_estimates(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [100.0]
    monkeypatch.setattr("flows.console.time.monotonic", lambda: now[0])
    with console.Progress("dub", 4, "videos") as progress:
        now[0] += 10
        progress.advance()
        progress.advance("failed")
        assert progress.line() == "dub: 2/4 videos, 1 failed, ETA 0:10"
        now[0] += 10
        progress.advance(steps=2)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "dub: 4/4 videos, 1 failed, 0:20"
    assert not any("\x1b" in line for line in lines)


def test_progress_of_one_long_item_is_told_in_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("flows.console.time.monotonic", lambda: now[0])
    with console.Progress("dub", 1, "videos") as progress:
        now[0] += 30
        progress.within("rendering", 0, 400)
        now[0] += 10
        progress.within("rendering", 100, 400)
        assert progress.line() == "dub: 0/1 videos, rendering 100/400 frames, ETA 0:30"
        progress.advance()
        assert progress.line(final=True) == "dub: 1/1 videos, 0:40"
