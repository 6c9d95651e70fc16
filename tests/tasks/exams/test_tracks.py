"""Two people are told apart while they move, turn away and come back."""

import pytest

from tasks.config import Config
from tasks.exams import tracks
from tasks.experts import Experts


@pytest.mark.slow
def test_the_quick_exam_is_passed(exam_config: Config, face_experts: Experts) -> None:
    findings = tracks.exam(exam_config, face_experts, quick=True, seed=0)
    assert not [finding for finding in findings if not finding.passed]
    assert all(finding.cases > 0 for finding in findings)
