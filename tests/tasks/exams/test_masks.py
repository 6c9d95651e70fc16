"""A face's mask is its face, from chin to hairline."""

import pytest

from tasks.config import Config
from tasks.exams import masks
from tasks.experts import Experts


@pytest.mark.slow
def test_the_quick_exam_is_passed(exam_config: Config, face_experts: Experts) -> None:
    findings = masks.exam(exam_config, face_experts, quick=True, seed=0)
    assert not [finding for finding in findings if not finding.passed]
    assert all(finding.cases > 0 for finding in findings)
