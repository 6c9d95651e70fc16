"""The gate: what is good passes, what is bad is named with its number, what was not measured is not judged."""

from dataclasses import replace

import pytest

from storage.schema import RENDERS
from tasks.config_sections import Gate
from tasks.measure import Measured
from tasks.quality_gate import judge, render_columns, review_text

GATE = Gate(min_sync=2.0, min_sync_gain=0.3, min_identity=0.6, max_flicker=1.5, max_seam=1.1, min_outside_psnr_db=40.0)
GOOD = Measured(
    sync_before=1.2, sync_after=3.5, outside_psnr_db=48.0, identity_cosine=0.9, flicker=1.0, seam=0.8, sync_offset=1
)


def test_a_good_output_passes() -> None:
    assert judge(GOOD, GATE) == []
    assert review_text([]) is None


@pytest.mark.parametrize(
    ("measure", "changed"),
    [
        ("sync", {"sync_after": 1.9}),
        ("sync offset", {"sync_offset": -3}),
        ("identity", {"identity_cosine": 0.5}),
        ("flicker", {"flicker": 1.6}),
        ("seam", {"seam": 1.2}),
        ("outside PSNR", {"outside_psnr_db": 39.0}),
        ("flicker", {"flicker": float("nan")}),
    ],
)
def test_each_measure_alone_holds_an_output_back(measure: str, changed: dict[str, float]) -> None:
    findings = judge(replace(GOOD, **changed), GATE)
    assert [finding.measure for finding in findings] == [measure]


def test_lips_that_fit_no_better_than_before_are_found_only_where_they_did_not_fit_before() -> None:
    assert [f.measure for f in judge(replace(GOOD, sync_before=1.9, sync_after=2.05), GATE)] == ["sync gain"]
    assert judge(replace(GOOD, sync_before=3.6, sync_after=3.5), GATE) == []


def test_what_was_not_measured_or_has_no_threshold_is_not_judged() -> None:
    assert judge(Measured(), GATE) == []
    none = Gate(
        max_sync_offset=None,
        min_sync=None,
        min_sync_gain=None,
        min_identity=None,
        max_flicker=None,
        max_seam=None,
        min_outside_psnr_db=None,
    )
    assert judge(Measured(0.0, 0.0, 1.0, -1.0, None, 9.0, 9.0, 9), none) == []


def test_the_text_names_measure_value_threshold_and_unit() -> None:
    text = review_text(judge(replace(GOOD, seam=1.25, outside_psnr_db=31.0), GATE))
    assert text is not None
    assert "seam 1.25 is above 1.1" in text
    assert "outside PSNR 31.00 dB is below 40 dB" in text


def test_measures_and_verdict_are_columns_of_the_table() -> None:
    columns = render_columns(replace(GOOD, flicker=2.0), GATE)
    assert set(columns) <= set(RENDERS.names)
    assert columns["review"].startswith("flicker 2.00 is above 1.5")
    assert render_columns(GOOD, GATE)["review"] is None
