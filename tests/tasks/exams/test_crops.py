"""Crops stand still on still heads, and do not lag behind moving ones."""

import pytest

from tasks.config import Config
from tasks.exams import crops
from tasks.experts import Experts


@pytest.mark.slow
def test_the_quick_exam_is_passed(exam_config: Config, face_experts: Experts) -> None:
    findings = crops.exam(exam_config, face_experts, quick=True, seed=0)
    assert not [finding for finding in findings if not finding.passed]
    assert all(finding.cases > 0 for finding in findings)
