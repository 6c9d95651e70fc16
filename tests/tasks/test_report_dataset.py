"""The page of a dataset: every outcome told with its reason, small however many clips there are, and safe."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tasks.report_charts import bars, heat, histogram
from tasks.report_dataset import dataset_page
from tasks.report_tally import KEPT_SHOWN, Tally
from tests.flows.browser import find_browser, open_browser

NASTY = '"><img src=x onerror="console.error(1)">'
FACE = cv2.imencode(".jpg", np.full((128, 128, 3), 90, np.uint8))[1].tobytes()


def clips(count: int) -> Iterator[dict[str, Any]]:
    """Rows of `count` clips, a tenth of them left out."""
    rng = random.Random(0)
    for number in range(count):
        person = number // 5 % max(3, count // 40)
        row = {
            "clip_id": f"{rng.getrandbits(80):020x}", "source_id": f"s{number // 3}", "status": "ok",
            "source_uri": f"/footage/{number // 3} {NASTY if number == 0 else ''}.mp4", "start_s": 1.0, "end_s": 4.5,
            "num_frames": 87, "split": ("train", "train", "val", "test")[person % 4], "speaker": f"person {person}",
            "speaker_source": "label", "licence": "CC-BY-4.0", "consent": None, "emotion": "sad", "intensity": 2,
            "caption": "A woman speaks sadly.", "caption_source": "label", "sync_confidence": rng.gauss(4, 1),
            "sync_offset": rng.randint(-3, 3), "blur": rng.lognormvariate(4, 1), "yaw": rng.gauss(0, 0.3),
            "pitch": rng.gauss(0, 0.2), "face_px": rng.gauss(160, 30), "loudness_lufs": rng.gauss(-22, 3),
        }  # fmt: skip
        if number % 10 == 3:
            row |= {"status": "rejected", "stage": "quality", "measure": "blur", "value": 3.25, "threshold": 8.0,
                    "reason": "blurred; lower preprocess.min_blur"}  # fmt: skip
        if number % 100 == 7:
            row |= {"status": "failed", "stage": "decode", "error_type": "InvalidDataError", "reason": NASTY}
        yield row


def faces(asked: list[str]) -> Callable[[Sequence[str]], Mapping[str, bytes]]:
    """Pictures of all clips asked for but the first; notes who was asked for."""

    def crops_of(clip_ids: Sequence[str]) -> Mapping[str, bytes]:
        asked.extend(clip_ids)
        return dict.fromkeys(clip_ids[1:], FACE)

    return crops_of


STEPS = [
    {"step": step, "status": status, "seconds": 0.5, "cpu_seconds": 0.4, "attempts": attempts, "error_type": error}
    for step in ("tracks", "crops")
    for status, attempts, error in (("ok", 1, None), ("ok", 2, None), ("failed", 2, "Died"))
]


def test_the_page_tells_what_is_in_and_what_was_left_out(tmp_path: Path) -> None:
    asked: list[str] = []
    page = dataset_page(tmp_path, {"version": "talks@1"}, clips(60), faces(asked), STEPS, "talks")
    text = page.read_text()
    assert "3.25 against 8" in text and "blurred; lower preprocess.min_blur" in text
    assert "InvalidDataError" in text and "<img src=x" not in text and "&lt;img src=x" in text
    assert "No speaker is in two splits" in text and "CC-BY-4.0" in text and "not stated" in text
    assert "Died (1)" in text and "A woman speaks sadly." in text
    assert len(asked) == 60 and len(list((tmp_path / "faces").iterdir())) == 59
    assert text.count("no picture kept") == 1
    for link in re.findall(r'(?:src|href)="([^"]+)"', text):
        assert link == "data:," or link.startswith("#") or (tmp_path / link).is_file(), link
    for anchor in re.findall(r'href="#([^"]+)"', text):
        assert f'id="{anchor}"' in text
    before = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    dataset_page(tmp_path, {"version": "talks@1"}, clips(60), faces([]), STEPS, "talks")
    assert before == {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_page_of_many_clips_is_no_larger(tmp_path: Path) -> None:
    asked: list[str] = []
    page = dataset_page(tmp_path, {}, clips(20_000), faces(asked))
    assert page.stat().st_size < 200_000
    assert len(asked) < 110
    assert "60 of 17,800" in page.read_text()


def test_an_empty_dataset_has_a_page(tmp_path: Path) -> None:
    rows = [{"clip_id": "a", "status": "failed", "stage": "probe", "error_type": "X", "reason": "cut off"}]
    assert "cut off" in dataset_page(tmp_path, {}, rows, lambda ids: {}).read_text()
    assert "0" in dataset_page(tmp_path, {}, [], lambda ids: {}).read_text()


def test_faces_are_of_as_many_files_as_there_are() -> None:
    rows = [{"clip_id": f"{i}", "source_id": "long" if i < 900 else f"short {i}", "status": "ok"} for i in range(950)]
    tally = Tally.of(rows)
    shown = [row["clip_id"] for row in tally.kept_sample]
    assert len(shown) == KEPT_SHOWN
    assert sum(int(clip_id) >= 900 for clip_id in shown) == 50
    random.Random(1).shuffle(rows)
    assert len(Tally.of(rows).kept_sample) == KEPT_SHOWN


def test_a_speaker_in_two_splits_is_told() -> None:
    rows = [{"clip_id": split, "status": "ok", "speaker": "Ada", "split": split} for split in ("train", "test")]
    assert Tally.of(rows).torn_speakers == ["Ada"]


def test_charts_count_every_value_and_speak() -> None:
    chart = histogram("Blur <b>", [1.0, 2.0, 2.0, float("nan")], [9.0], "px", [4.0])
    assert chart is not None
    assert sum(int(count) for count in re.findall(r"(\d+) kept</title>", chart.svg)) == 3
    assert "1 left out</title>" in chart.svg and "threshold 4" in chart.svg
    assert 'role="img" aria-label="Blur &lt;b&gt;: median 2 px, 3 kept, 1 left out"' in chart.svg
    assert histogram("nothing", []) is None and heat("nothing", [], [], (1, 1), ("x", "y"), "") is None
    assert histogram("one", [5.0]) is not None and histogram("zero", [0, 0, 0], whole=True) is not None
    many = histogram("tail", [*range(1000), 1e9])
    assert many is not None and len(re.findall("<rect", many.svg)) > 20  # a stray does not flatten the rest
    spread = heat("pose", [0.0, 500.0], [0.0, -500.0], (60.0, 45.0), ("yaw", "pitch"), "°")
    assert spread is not None and spread.svg.count("1 clips</title>") == 2
    named = bars("who", {f"<{i}>": i for i in range(1, 30)})
    assert named is not None and "29 in all" in named.note and "<29>" not in named.svg


@pytest.mark.slow
def test_the_page_opens_offline_without_trouble(tmp_path: Path) -> None:
    binary = find_browser()
    if binary is None:
        pytest.skip("no Chromium on this machine")
    page = dataset_page(tmp_path / "page", {"version": "talks@1"}, clips(300), faces([]), STEPS, "talks")
    with open_browser(binary, tmp_path / "profile", width=420) as browser:
        browser.open(page.as_uri())
        broken = browser.ask(
            "Promise.all([...document.images].map(i => { i.loading = 'eager';"
            " return i.decode().then(() => 0, () => 1); }))"
        )
        assert len(broken) > 50 and sum(broken) == 0
        assert browser.ask("document.documentElement.scrollWidth <= innerWidth")  # nothing hangs out of a narrow page
        assert browser.ask("[...document.querySelectorAll('img')].every(i => i.alt)")
        assert browser.trouble == []
        assert all(url.startswith(("file://", "data:", "about:")) for url in browser.requested)
