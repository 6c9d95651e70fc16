"""Cuts are found to the frame, jump cuts mostly, and flashes, lamps and hands are not taken for either."""

import pytest

from tasks.config import Config
from tasks.exams import cuts
from tasks.experts import Experts


@pytest.mark.slow
def test_the_quick_exam_is_passed(exam_config: Config, face_experts: Experts) -> None:
    findings = cuts.exam(exam_config, face_experts, quick=True, seed=0)
    assert not [finding for finding in findings if not finding.passed]
    assert all(finding.cases > 0 for finding in findings)
