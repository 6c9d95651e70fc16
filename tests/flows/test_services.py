"""Processes that stay: started again when they die, given up when they will not live, found by their mark."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from flows.command import words_of
from flows.options import Options
from flows.pages import page_url, served_pages
from flows.server import ending_with_parent
from flows.services import MARK, MOST_FAILURES, Service, end_marked, look_after, marked
from storage.errors import DubwrightError
from storage.layout import Root

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]


def service(words: list[str], log: Path) -> Service:
    return Service("thing", lambda: subprocess.Popen(words), lambda process: None, log, patience_s=5)


def test_what_dies_is_started_again(tmp_path: Path) -> None:
    thing = service(SLEEP, tmp_path / "log")
    thing.begin()
    try:
        first = thing.process
        assert first is not None
        look_after(thing)
        assert thing.process is first, "one that lives was started again"
        first.kill()
        first.wait()
        look_after(thing)
        assert thing.process is not None and thing.process.pid != first.pid and thing.process.poll() is None
    finally:
        thing.end()
    assert thing.process is None


def test_what_will_not_live_is_given_up_and_says_where_to_look(tmp_path: Path) -> None:
    thing = service([sys.executable, "-S", "-c", "raise SystemExit(3)"], tmp_path / "the.log")
    thing.begin()
    waits: list[float] = []

    def look_again_and_again() -> None:
        while True:
            if thing.process is not None:
                thing.process.wait()
            look_after(thing)
            waits.append(max(0.0, thing.again_at - time.monotonic()))
            thing.again_at = 0.0

    with pytest.raises(DubwrightError, match="does not stay up: ended with code 3") as given_up:
        look_again_and_again()
    assert "the.log" in given_up.value.remedy
    assert thing.failures == MOST_FAILURES + 1
    grown = sorted(wait for wait in waits if wait > 1)
    assert grown[-1] > 2 * grown[0], "it is started again without a pause"


def test_marked_processes_are_ended_and_others_are_not() -> None:
    deaf = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    mine = [
        subprocess.Popen(
            [sys.executable, "-S", "-c", deaf], env={**os.environ, MARK: "mine"}, stdout=subprocess.PIPE,
            start_new_session=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    other = subprocess.Popen(SLEEP, env={**os.environ, MARK: "mine-not"})
    try:
        for process in mine:
            assert process.stdout is not None
            process.stdout.readline()
        assert sorted(marked("mine")) == sorted(process.pid for process in mine)
        assert end_marked("mine", patience_s=0.5) == 2
        assert [process.wait(10) for process in mine] == [-signal.SIGKILL] * 2
        assert other.poll() is None
        assert end_marked("nobody") == 0
    finally:
        for process in [*mine, other]:
            process.kill()
            process.wait()


def test_a_process_ends_with_the_one_that_started_it() -> None:
    script = (
        "import subprocess, sys, time; from flows.server import ending_with_parent; "
        f"child = subprocess.Popen(ending_with_parent({SLEEP!r})); time.sleep(0.5); print(child.pid, flush=True); "
        "time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert Path(f"/proc/{child}").exists()
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{child}/cmdline").exists() and Path(f"/proc/{child}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "it outlived its parent"
        time.sleep(0.1)
    assert ending_with_parent(SLEEP)[-len(SLEEP) :] == SLEEP


def test_options_are_handed_on_as_they_were_given() -> None:
    options = Options(root="/films", profile="sd15", json=True, settings=("a.b=1", "c.d=x y"))
    words = words_of(options)
    assert words == ["--root", "/films", "--profile", "sd15", "--json", "--set", "a.b=1", "--set", "c.d=x y"]
    assert words_of(Options()) == []


def get(url: str, **headers: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


def post(url: str, data: bytes) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_reports_are_served_and_nothing_beside_them(root: Root, tmp_path: Path) -> None:
    report = root.runs / "run 1" / "report" / "index.html"
    report.parent.mkdir(parents=True)
    report.write_text("<p>a report")
    (root.local / "secret").write_text("a secret")
    (root.runs / "way-out").symlink_to(root.local / "secret")
    assert page_url(report) == report.as_uri()
    with served_pages(root, 0) as pages:
        assert page_url(report).startswith("http://127.0.0.1:")
        assert get(page_url(report)) == (200, b"<p>a report")
        assert page_url(tmp_path / "else.html").startswith("file://")
        for path in ("", "run%201", "../secret", "%2e%2e/secret", "way-out", "//etc/passwd", "nothing"):
            assert get(f"{pages.url}/{path}")[0] == 404, path
        assert get(page_url(report), Host="evil.example:80")[0] == 404, "a name that was pointed at this machine"
    assert page_url(report) == report.as_uri()


def test_only_who_knows_the_secret_writes_into_the_log(root: Root) -> None:
    with served_pages(root, 0) as pages:
        assert post(pages.ear, b'{"subject": "a night failed", "body": "why\\nwhere", "more": 1}') == 204
        assert post(f"{pages.url}/notify/guess", b'{"subject": "x"}') == 404
        assert post(pages.ear, b"not json") == 400
        assert post(pages.ear, b'"' + b"x" * 100_000 + b'"') == 400
        (line,) = pages.log.read_text().splitlines()
    assert '"subject": "a night failed"' in line and '"body": "why\\nwhere"' in line and "more" not in line
