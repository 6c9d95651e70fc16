"""Copies are found and takes are left alone."""

import pytest

from tasks.config import Config
from tasks.duplicates import fingerprint
from tasks.exams import duplicates
from tasks.experts import Experts
from tests.tasks.test_duplicates import Scene


@pytest.mark.slow
def test_the_quick_exam_is_passed(exam_config: Config, face_experts: Experts) -> None:
    findings = {f.measure: f for f in duplicates.exam(exam_config, face_experts, quick=True, seed=0)}
    assert findings["matches right"].value == 1
    assert findings["copies found"].value >= 0.75
    assert findings["changed by the order of rows"].value == 0


def test_an_exam_counts_copies_apart_and_wrong_matches() -> None:
    one, other = Scene(0), Scene(1)
    rows = [
        {"clip_id": "a/original", "truth": "a", "fingerprint": one.print()},
        {"clip_id": "a/renamed", "truth": "a", "fingerprint": one.print()},
        {"clip_id": "b/original", "truth": "b", "fingerprint": other.print()},
        {"clip_id": "b/renamed", "truth": "b", "fingerprint": one.print()},
    ]
    found = {f.measure: f for f in duplicates.findings(rows)}
    assert found["copies found"].value == 0.5
    assert found["matches right"].value == 0.5
    assert "b/renamed" in found["matches right"].note
    empty = fingerprint(one.crops, one.pts, one.kps, one.audio[:0])
    assert duplicates.findings([{"clip_id": "c", "truth": "c", "fingerprint": empty}])[0].cases == 0
