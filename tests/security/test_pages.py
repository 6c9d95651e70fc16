"""Pages show what people and files call things. Whatever that is, it is text: no page runs it or asks a host for it."""

from __future__ import annotations

import datetime
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from storage.catalog import Catalog
from storage.layout import Root
from storage.schema import CLIPS, MODELS, RENDERS, RUNS, row
from tasks.browse import catalog_page
from tasks.report import Report, write_report
from tasks.report_charts import bars
from tasks.report_dataset import dataset_page

NASTY = (
    """</script></style></title></textarea>--><script>bad()</script><img src=http://evil.example/x onerror='bad()'>"""
    """" onmouseover="bad()" ' onfocus='bad()' javascript:bad() {{ 7 * 7 }} &lt;b&gt; <a href="javascript:bad()">"""
)


class Page(HTMLParser):
    """What a browser would make of a page: its elements, and all that it would load or run."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.scripts: list[str] = []
        self.handlers: list[str] = []
        self.addresses: list[str] = []
        self.policy = ""
        self._script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.handlers += [name for name in named if name.startswith("on") or "url(" in named[name]]
        self.addresses += [
            named[name] for name in ("href", "src", "action", "formaction", "data", "poster") if name in named
        ]
        if tag == "meta" and named.get("http-equiv") == "Content-Security-Policy":
            self.policy = named["content"]
        self._script = tag == "script"
        if self._script:
            self.scripts.append("")
            self.handlers += ["type"] if named.get("src") else []

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._script = False


def is_harmless(page: Page) -> None:
    assert page.handlers == []
    for address in page.addresses:
        parts = urlsplit(address)
        assert parts.netloc == "" and (parts.scheme == "" or address in ("data:,",)), address
    assert "default-src 'none'" in page.policy and "http" not in page.policy


def nasty(schema: Any, **known: Any) -> dict[str, Any]:
    """A row with a nasty text in every column that takes one."""
    texts = {field.name: NASTY for field in schema if str(field.type) in ("string", "large_string")}
    return row(schema, **{**texts, **known})


def test_a_report_is_text(root: Root) -> None:
    run = nasty(RUNS, status="failed", config=json.dumps({NASTY: NASTY}), counts="{}", seconds=1.0,
                started=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))  # fmt: skip
    good = nasty(RENDERS, status="ok", input_uri="films/gone.mp4", output_uri="renders/javascript:bad() #1?.mp4",
                 frames=1, fps=25.0, seconds=1.0)  # fmt: skip
    report = Report(
        run=run, stages=[{"name": NASTY, "seconds": 1.0, "result": NASTY}],
        items=[{"id": NASTY, "input": NASTY, "status": "failed", "stage": NASTY, "reason": NASTY}],
        renders=[good, nasty(RENDERS, status="failed")], clips=[nasty(CLIPS, status="rejected")],
        dataset={NASTY: NASTY}, training={NASTY: NASTY}, evaluation=[{"model": NASTY, NASTY: NASTY}], protocol=[NASTY],
        published=[{NASTY: NASTY}], published_note=NASTY, gate={"promoted": True, "reason": NASTY},
        lineage={NASTY: NASTY},
    )  # fmt: skip
    page = Page(write_report(report, root.renders, root).read_text())
    is_harmless(page)
    assert page.scripts == []
    assert "javascript%3Abad%28%29%20%231%3F.mp4" in page.addresses


def test_the_page_of_a_dataset_is_text(root: Root, tmp_path: Path) -> None:
    rows = [nasty(CLIPS, clip_id=str(number), status=status, source_uri=f"/films/{NASTY}{number}.mp4", num_frames=10,
                  start_s=0.0, end_s=1.0) for number, status in enumerate(("ok", "rejected", "failed"))]  # fmt: skip
    page = Page(dataset_page(tmp_path / "page", {NASTY: NASTY}, rows, lambda ids: {}, title=NASTY).read_text())
    is_harmless(page)
    assert page.scripts == []


def test_the_page_of_the_catalog_is_text(root: Root) -> None:
    catalog = Catalog(root)
    created = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    catalog.upsert("models", nasty(MODELS, version=1))
    catalog.upsert("renders", nasty(RENDERS, status="ok", created=created))
    catalog.upsert("clips", nasty(CLIPS, status="ok"))
    place = catalog_page(root).page
    page = Page(place.read_text())
    is_harmless(page)
    about, own = page.scripts
    assert NASTY not in own and json.loads(about)["models"][NASTY]
    for file in (place.parent / "rows").iterdir():
        body = file.read_text()
        assert json.loads(body[body.index(",") + 1 : body.rindex(")")])


def test_a_chart_is_text() -> None:
    chart = bars(NASTY, {NASTY: 1, NASTY[::-1]: 2})
    assert chart is not None
    page = Page(str(chart.svg))
    assert page.handlers == page.addresses == page.scripts == []


def test_the_judge_of_pages_sees_what_is_bad() -> None:
    for text in (
        '<p onclick="x">',
        "<img src='http://a/b'>",
        "<a href='javascript:x'>",
        "<script src='x.js'></script>",
    ):
        with pytest.raises(AssertionError):
            is_harmless(Page(f'<meta http-equiv="Content-Security-Policy" content="default-src \'none\'">{text}'))
