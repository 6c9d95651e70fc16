"""The report: complete, self-contained, safe against what files are called, and alive in a real browser."""

from __future__ import annotations

import datetime
import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from storage import media
from storage.layout import Root
from storage.schema import CLIPS, RENDERS, RUNS, row
from tasks.report import Report, clock, number, write_report
from tasks.report_media import _Moments
from tests.flows.browser import find_browser, open_browser

SECONDS, FPS = 2, 25
NASTY = '<img src=x onerror="console.error(1)">.mp4'


def _video(path: Path, hue: int) -> Path:
    frames = np.zeros((SECONDS * FPS, 96, 128, 3), np.uint8)
    frames[..., 1] = np.linspace(0, 255, 128).astype(np.uint8)
    for index, frame in enumerate(frames):
        frame[50:80, 40:80] = (hue, (index * 8) % 256, 128)
    sound = np.sin(np.arange(SECONDS * 16000) / 20).astype(np.float32) * 0.2
    media.write_video(path, frames, FPS, sound, 16000)
    return path


@pytest.fixture
def page(root: Root) -> Path:
    """A report with one dubbed video, one portrait, clips, a rejected and a failed input, an evaluation."""
    before = _video(root.local / "before.mp4", 20)
    _video(root.renders / "after.mp4", 220)
    samples = root.local / "step-00000200.jpg"
    samples.write_bytes(cv2.imencode(".jpg", np.full((64, 256, 3), 128, np.uint8))[1].tobytes())
    run = row(
        RUNS, run_id="run-1", command="demo --root data", status="failed", config=json.dumps({"profile": "studio"}),
        counts=json.dumps({"ok": 2, "rejected": 1, "failed": 1}),
        started=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), seconds=75.0,
        config_hash="c0ffee", code_revision="abc",
    )  # fmt: skip
    good = {
        "status": "ok", "output_uri": "renders/after.mp4", "frames": 50, "fps": 25.0, "width": 128, "height": 96,
        "seconds": 1.0, "outside_psnr_db": 44.0, "sync_confidence_before": 1.0, "sync_confidence_after": 4.0,
    }  # fmt: skip
    renders = [
        row(RENDERS, render_id="r1", input_uri=str(before), faces=2, reason="silence follows", **good),
        row(RENDERS, render_id="r2", input_uri="portrait.png", **good),
        row(RENDERS, render_id="r3", input_uri=NASTY, status="failed", stage="probe", reason="cut off", error_type="X"),
    ]
    clips = [row(CLIPS, clip_id="c1", source_uri="quiet.mp4", status="rejected", stage="faces", measure="face_ratio",
                 value=0.25, threshold=0.9, reason="no face found in any frame")]  # fmt: skip
    report = Report(
        run=run, renders=renders, clips=clips, stages=[{"name": "dub", "seconds": 3.0, "result": "2 ok"}],
        training={"steps": 3, "losses": [(0, 1.0), (1, 0.5), (2, 0.25)], "samples": samples},
        gate={"promoted": False, "reason": "not better"},
        evaluation=[{"model": "champion", "lse_c": 4.0}, {"model": "challenger", "lse_c": 3.5, "fid": None}],
        dataset={"version": "talks@1", "page": "index.html"}, pages={"another page": "index.html"},
        protocol=["LSE-C by the studio's sync expert"], lineage={"model": "m1", "dataset": None},
    )  # fmt: skip
    return write_report(report, root.runs / "run-1" / "report", root)


def test_a_report_names_every_outcome_with_its_reason(page: Path) -> None:
    text = page.read_text()
    assert "no face found in any frame" in text and "0.25" in text and "0.9" in text
    assert "cut off" in text
    assert "silence follows" in text  # what a user should know of a render that came out well
    assert "faces tracked" in text
    assert '<a href="index.html">All about this dataset</a>' in text and '<a href="index.html">another page</a>' in text
    assert "Champion kept." in text and "LSE-C by the studio" in text


def test_a_report_needs_nothing_from_elsewhere(page: Path) -> None:
    links = re.findall(r'(?:src|href)="([^"]+)"', page.read_text())
    assert len(links) > 8
    for link in links:
        assert link == "data:," or (page.parent / link).is_file(), link


def test_the_last_picture_of_a_training_is_shown_with_its_step(page: Path) -> None:
    assert (page.parent / "media" / "samples-step-00000200.jpg").is_file()
    assert "200 steps into the training" in page.read_text()


def test_file_names_are_text_not_markup(page: Path) -> None:
    assert "<img src=x" not in page.read_text()
    assert "&lt;img src=x" in page.read_text()


def test_previews_are_as_long_as_what_they_show(page: Path) -> None:
    for name in ("render-0.mp4", "render-1.mp4"):
        info = media.probe(page.parent / "media" / name, need_audio=True)
        assert abs(info.duration_s - SECONDS) < 0.05


def test_stills_show_where_the_picture_changed(page: Path) -> None:
    assert len(list((page.parent / "media").glob("render-0-*-before.jpg"))) >= 1
    assert len(list((page.parent / "media").glob("render-1-*.jpg"))) == 4


@pytest.mark.slow
def test_a_report_opens_in_a_browser_and_its_videos_play(page: Path, tmp_path: Path) -> None:
    binary = find_browser()
    if binary is None:
        pytest.skip("no Chromium on this machine")
    moved = tmp_path / "moved"  # what is readable only in its first place is not self-contained
    shutil.copytree(page.parent, moved)
    with open_browser(binary, tmp_path / "profile") as browser:
        browser.open((moved / "index.html").as_uri())
        assert browser.ask("document.querySelectorAll('video').length") == 2
        played = browser.ask(
            """Promise.all([...document.querySelectorAll('video')].map(async video => {
                 video.muted = true; await video.play();
                 for (let i = 0; i < 100 && video.currentTime < 0.4; i++)
                   await new Promise(done => setTimeout(done, 50));
                 return video.currentTime; }))"""
        )
        assert all(seconds >= 0.4 for seconds in played), played
        broken = browser.ask(
            "Promise.all([...document.images].map(i => { i.loading = 'eager';"
            " return i.decode().then(() => 0, () => 1); }))"
        )
        assert sum(broken) == 0
        assert browser.trouble == []
        assert all(url.startswith(("file://", "data:", "about:")) for url in browser.requested), browser.requested


def test_numbers_read_well() -> None:
    assert [number(value) for value in (None, float("nan"), 0.123456, 29.97, 12345, True)] == [
        "–", "–", "0.1235", "29.97", "12,345", "yes",
    ]  # fmt: skip
    assert [clock(value) for value in (4.25, 65, 7380, None)] == ["4.2 s", "1 min 05 s", "2 h 03 min", "–"]


def test_noise_of_single_pixels_does_not_widen_a_still() -> None:
    random = np.random.default_rng(0)
    old = np.full((1080, 1920, 3), 120, np.uint8)
    new = old.copy()
    new[random.integers(0, 1080, 200), random.integers(0, 1920, 200)] += 30
    new[400:500, 800:900] = 20
    moments = _Moments()
    moments.see(0.0, old, new)
    [(_, _, before, after)] = moments.best.values()
    assert before.shape == after.shape
    assert 200 <= after.shape[0] <= 230
    assert (after == 20).all(axis=2).sum() == 100 * 100
