"""Captions of unseen people tell what they act."""

import pytest

from tasks.config import Config
from tasks.exams import captions
from tasks.exams.captions import _findings
from tasks.experts import load_experts


@pytest.mark.slow
def test_the_quick_exam_is_far_above_chance(exam_config: Config) -> None:
    findings = {f.measure: f for f in captions.exam(exam_config, load_experts(exam_config), quick=True, seed=0)}
    assert findings["emotion right"].cases == 8
    assert findings["emotion right"].value >= 0.6
    assert findings["intensity within one level"].value >= 0.85


def test_an_exam_counts_what_was_acted_against_what_was_told() -> None:
    asked = [("happy", 1), ("happy", 3), ("neutral", 0), ("sad", 2)]
    found = {f.measure: f for f in _findings(asked, [("happy", 2), ("angry", 1), ("neutral", 0), ("sad", 2)])}
    assert found["emotion right"].value == 0.75
    assert found["intensity within one level"].value == 0.75
    assert found["intensity exact"].value == 0.5
    assert (found["happy right"].value, found["happy right"].note) == (0.5, "taken for angry 1")
    assert found["emotion right at intensity 3"].value == 0
    assert not found["emotion right"].passed
