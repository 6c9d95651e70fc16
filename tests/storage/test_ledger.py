"""The ledger survives crashes, torn lines and company."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import StorageFull
from storage.ledger import Ledger
from tests.storage.footage import scratch


def test_the_last_line_of_an_id_counts(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "run" / "ledger.jsonl")
    assert ledger.last("a") is None
    assert not ledger.done("a")
    ledger.record("a", "started")
    ledger.record("a", "failed", reason="größer")
    assert not ledger.done("a")
    ledger.record("b", "rejected", measure="bytes")
    ledger.record("a", "started")
    ledger.record("a", "ok", output="a.mp4")
    assert ledger.done("a")
    assert ledger.done("b")
    assert ledger.attempts("a") == 2
    assert ledger.attempts("b") == 1
    assert ledger.attempts("c") == 0
    assert [entry["id"] for entry in ledger.entries()] == ["a", "b"]
    assert ledger.counts() == {"ok": 1, "rejected": 1}
    assert Ledger(ledger.path).last("a")["output"] == "a.mp4"


statuses = st.sampled_from(["started", "ok", "rejected", "failed"])


@settings(deadline=None, max_examples=40)
@given(
    lines=st.lists(st.tuples(st.sampled_from("abc"), statuses), min_size=1, max_size=8),
    keep=st.floats(0, 1),
    more=st.lists(st.tuples(st.sampled_from("abcd"), statuses), max_size=4),
)
def test_cut_anywhere_only_the_torn_line_is_lost(
    lines: list[tuple[str, str]], keep: float, more: list[tuple[str, str]]
) -> None:
    path = scratch() / "ledger.jsonl"
    ledger = Ledger(path)
    ends = []
    for id, status in lines:
        ledger.record(id, status)
        ends.append(path.stat().st_size)
    cut = int(ends[-1] * keep)
    with path.open("r+b") as stream:
        stream.truncate(cut)
    whole = [line for line, end in zip(lines, ends, strict=True) if end <= cut]
    expected = dict(whole)
    assert {entry["id"]: entry["status"] for entry in Ledger(path).entries()} == expected
    writer = Ledger(path)
    for id, status in more:
        writer.record(id, status)
    expected |= dict(more)
    torn = cut not in (0, *ends)
    found = Ledger(path)
    assert {entry["id"]: entry["status"] for entry in found.entries()} in (
        expected,
        {**dict(lines[: len(whole) + 1]), **dict(more)},  # the cut took only the line's end mark
    )
    assert found.torn <= int(torn)
    assert {e["id"]: e["status"] for e in ledger.entries()} == {e["id"]: e["status"] for e in found.entries()}


def _write(path: str, worker: int) -> None:
    ledger = Ledger(path)
    for item in range(30):
        ledger.record(f"{worker}-{item}", "ok", text="x" * 500)


def test_processes_do_not_tear_each_others_lines(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_write, args=(str(path), number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 90
    assert Ledger(path).counts() == {"ok": 90}


def test_kill_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    code = (
        f"from storage.ledger import Ledger; l = Ledger({str(path)!r}); i = 0\n"
        "while True:\n l.record(str(i), 'ok'); i += 1; print(i, flush=True)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    said = 0
    while said < 20:
        said = int(writer.stdout.readline())
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    ledger = Ledger(path)
    assert ledger.done("19")
    ledger.record("new", "ok")
    assert Ledger(path).done("new")


def test_a_reader_follows_a_growing_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    reader, writer = Ledger(path), Ledger(path)
    for number in range(5):
        writer.record(str(number), "ok")
        assert reader.done(str(number))
    path.unlink()
    writer.record("fresh", "ok")
    assert [entry["id"] for entry in reader.entries()] == ["fresh"]


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    import resource

    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.record("a", "ok")
    size = ledger.path.stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, before[1]))
    try:
        with pytest.raises(StorageFull):
            ledger.record("b", "ok", text="x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)
    assert ledger.path.stat().st_size == size
    ledger.record("b", "ok")
    assert Ledger(ledger.path).counts() == {"ok": 2}
