"""The page of the catalog: every row on it, files found from it, searched in a real browser without a server."""

from __future__ import annotations

import datetime
import json
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from storage import media
from storage.catalog import Catalog
from storage.layout import Root
from storage.schema import CLIPS, RENDERS, row
from tasks.browse import EACH_FILE, SHOWN, catalog_page
from tests.flows.browser import find_browser, open_browser

NASTY = "<script>console.error(1)<img src=x onerror='console.error(2)'> 100%#1?.mp4"
BEGUN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def video(path: Path, level: int) -> Path:
    frames = np.full((25, 72, 128, 3), level, np.uint8)
    frames[:, 20:50, 30:60, 0] = (np.arange(25) * 10)[:, None, None]
    sound = np.sin(np.arange(16000) / 20).astype(np.float32) * 0.1
    return media.write_video(path, frames, 25, sound, 16000)


def rows(page: Path, table: str) -> list[dict[str, Any]]:
    """What the page takes in."""
    [embedded] = re.findall(r'type="application/json">(.*?)</script>', page.read_text())
    about = json.loads(embedded)
    found = []
    for name in about["files"][table]:
        body = (page.parent / name).read_text()
        found += json.loads(body[body.index(",") + 1 : body.rindex(")")])
    return [dict(zip(about["columns"][table], line, strict=True)) for line in found]


@pytest.fixture
def filled(root: Root) -> Root:
    """Two renders whose files are there, one that failed, a clip, and many rows more."""
    catalog = Catalog(root)
    (root.local / "films").mkdir()
    source = video(root.local / "films" / "Der Zug.mp4", 40)
    video(root.renders / "zug.dub.mp4", 90)
    video(root.renders / NASTY, 160)
    catalog.upsert("models", {"model_id": "m0", "name": "</script><script>console.error(3)</script>", "version": 1})
    catalog.upsert("models", {"model_id": "m1", "parent": "m0", "name": "dub", "version": 3, "dataset_id": "talks@1"})
    measured = {"sync_confidence_before": 1.0, "sync_confidence_after": 4.25, "outside_psnr_db": 43.0, "model_id": "m1"}
    special = [
        row(RENDERS, render_id="zug", status="ok", input_uri=str(source), output_uri="renders/zug.dub.mp4",
            emotion="happy", caption="quietly happy", created=BEGUN + datetime.timedelta(days=400), **measured),
        row(RENDERS, render_id="nasty", status="ok", input_uri="films/gone.mp4", output_uri=f"renders/{NASTY}",
            emotion="sad", created=BEGUN + datetime.timedelta(days=300)),
        row(RENDERS, render_id="bad", status="failed", reason="cut off at 3.2 s", input_uri="/x/bad.mov",
            created=BEGUN + datetime.timedelta(days=200)),
    ]  # fmt: skip
    many = [
        row(RENDERS, render_id=f"r{n}", status="ok", output_uri=f"renders/{n}.mp4",
            created=BEGUN + n * datetime.timedelta(minutes=1))
        for n in range(EACH_FILE + 50)
    ]  # fmt: skip
    catalog.upsert("renders", special + many)
    place = {"source_uri": "films/Der Zug.mp4", "start_s": 0.2, "end_s": 0.8}
    clip = row(CLIPS, clip_id="c1", status="ok", transcript="der Zug fährt ab", emotion="happy", **place)
    catalog.upsert("clips", clip)
    return root


def test_the_page_has_every_row_newest_first_and_links_that_lead_to_files(filled: Root) -> None:
    made = catalog_page(filled)
    assert made.held == made.shown == {"renders": EACH_FILE + 53, "clips": 1}
    shown = rows(made.page, "renders")
    assert [entry["render_id"] for entry in shown[:4]] == ["zug", "nasty", "bad", f"r{EACH_FILE + 49}"]
    assert len({entry["render_id"] for entry in shown}) == EACH_FILE + 53
    links = [shown[0]["before"], shown[0]["after"], shown[1]["after"], rows(made.page, "clips")[0]["after"]]
    for link in links:
        assert link and ":" not in link and (made.page.parent / unquote(link)).is_file(), link
    assert shown[1]["before"] is None  # a file that is gone is no link
    assert shown[2]["after"] is None


def test_a_page_made_anew_leaves_nothing_of_the_old_one(filled: Root) -> None:
    first = catalog_page(filled)
    Catalog(filled).delete("renders", "render_id = 'zug'")
    second = catalog_page(filled, most=5)
    assert second.page == first.page and second.shown["renders"] == 5
    assert rows(second.page, "renders")[0]["render_id"] == "nasty"
    assert len(list((second.page.parent / "rows").iterdir())) == 2
    assert "The newest 5 of" in second.page.read_text()


def test_an_empty_catalog_has_a_page(root: Root) -> None:
    assert catalog_page(root).shown == {"renders": 0, "clips": 0}


@pytest.mark.slow
def test_the_page_is_searched_and_plays_in_a_browser(filled: Root, tmp_path: Path) -> None:
    binary = find_browser()
    if binary is None:
        pytest.skip("no Chromium on this machine")
    catalog_page(filled)
    moved = tmp_path / "moved"
    shutil.move(filled.local, moved)  # a root that is moved as a whole keeps its page
    with open_browser(binary, tmp_path / "profile") as browser:
        browser.open((moved / "browse" / "index.html").as_uri())

        def told(what: str = "found") -> str:
            return str(
                browser.ask(
                    f"new Promise(d => setTimeout(() => d(document.getElementById('{what}').textContent), 400))"
                )
            )

        def ask(name: str, value: str) -> str:
            browser.ask(f"form.elements['{name}'].value = {json.dumps(value)}; form.dispatchEvent(new Event('input'))")
            return told()

        assert told() == f"{EACH_FILE + 53} renders"
        assert told("where") == f"1 of {-(-(EACH_FILE + 53) // SHOWN)}"
        assert browser.ask("cards.children.length") == SHOWN
        assert browser.ask("cards.querySelector('h3').textContent") == "zug.dub.mp4"
        assert browser.ask("[...cards.querySelectorAll('h3')][1].textContent") == NASTY
        played = browser.ask(
            """Promise.all([...cards.querySelectorAll('video')].slice(0, 3).map(async video => {
                 video.muted = true; await video.play();
                 for (let i = 0; i < 100 && video.currentTime < 0.3; i++) await new Promise(d => setTimeout(d, 50));
                 return video.currentTime; }))"""
        )
        assert len(played) == 3 and all(seconds >= 0.3 for seconds in played), played
        assert ask("text", "quietly ZUG") == "1 render"
        assert "4.25" in browser.ask("cards.textContent") and "dub@3" in browser.ask("cards.textContent")
        assert ask("text", "nothing like it") == "0 renders"
        assert ask("text", "") == f"{EACH_FILE + 53} renders"
        assert ask("emotion", "sad") == "1 render"
        assert ask("emotion", "") and ask("status", "failed") == "1 render"
        assert "cut off at 3.2 s" in browser.ask("cards.textContent")
        assert ask("status", "") and ask("since", "2026-06-01") == "3 renders"
        assert ask("until", "2026-12-01") == "2 renders"
        address = browser.ask("location.href")
        assert "since=2026-06-01" in address
        assert ask("since", "") and ask("until", "") and ask("sort", "created")
        assert browser.ask("cards.querySelector('h3').textContent") == "0.mp4"
        browser.ask("document.getElementById('on').click()")
        assert told("where").startswith("2 of")
        browser.ask("document.querySelector('[data-table=clips]').click()")
        assert told() == "1 clip"
        assert "der Zug fährt ab" in browser.ask("cards.textContent")
        assert browser.trouble == []
        assert all(url.startswith(("file://", "data:", "about:")) for url in browser.requested)
    with open_browser(binary, tmp_path / "again") as browser:  # what was asked stands in the address
        browser.open(address)
        assert told() == "2 renders"
