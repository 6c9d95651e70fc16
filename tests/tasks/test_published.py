"""The published table: the numbers as they stand in the paper, marked as others' and shown under our own."""

from __future__ import annotations

import datetime
from pathlib import Path

from flows.console import table
from flows.evaluate import beside
from storage.layout import Root
from storage.schema import RUNS, row
from tasks.published import ABLATION, METRICS, NOTE, TABLE, has_counterpart, published_rows
from tasks.report import Report, write_report


def test_the_numbers_are_the_published_ones() -> None:
    rows = {(one["method"], one["data"]): one for one in published_rows()}
    assert len(rows) == 2 * len(TABLE) == 18
    assert rows["MF-ETalk 2025", "MEAD"] == {
        "method": "MF-ETalk 2025", "data": "MEAD", "fid": 43.052, "lse_c": 6.781, "lse_d": 7.962, "efid": 2.403,
    }  # fmt: skip
    assert rows["Wav2Lip 2020", "HDTF"]["lse_d"] == 8.979
    assert min(one["fid"] for one in rows.values() if one["data"] == "HDTF") == 35.348
    # the paper's ablation starts from Hallo and ends at the whole method
    first, *_, last = published_rows(ablation=True)
    assert [first[name] for name in METRICS] == list(TABLE["Hallo 2024"][0])
    assert [last[name] for name in METRICS] == list(TABLE["MF-ETalk 2025"][0])
    assert len(ABLATION) == 3


def test_it_stands_beside_metrics_of_the_same_name_only_and_says_what_it_is() -> None:
    assert has_counterpart(["fps", "lse_c"]) and not has_counterpart(["fps", "flicker"])
    assert beside({"metrics": {"flicker": 1.0}}) == {}
    shown = beside({"metrics": {"fid": 3.0}})
    assert "other protocol" in shown["published_note"] and "not measured here" in shown["published_note"]
    text = table(shown["published"])
    assert "Hallo 2024" in text and "46.69" in text


def test_the_report_shows_it_under_our_table_marked_as_published(root: Root) -> None:
    run = row(RUNS, run_id="run-1", command="evaluate studio", status="ok", counts="{}", config="{}",
              started=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), seconds=1.0)  # fmt: skip

    def page(**parts: object) -> str:
        report = Report(run=run, evaluation=[{"model": "studio@1", "fid": "9.87"}], **parts)
        return Path(write_report(report, root.runs / "run-1" / "report", root)).read_text()

    told = page(published=published_rows(), published_note=NOTE)
    assert told.index("9.87") < told.index("Published by others, under another protocol") < told.index("EchoMimic 2024")
    assert NOTE.split(",")[0] in told
    assert "EchoMimic" not in page()
