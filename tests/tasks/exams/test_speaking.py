"""Who speaks, on people nobody was trained on."""

import pytest

from tasks.config import load_config
from tasks.exams.speaking import exam
from tasks.experts import load_experts


@pytest.mark.slow
def test_the_right_face_speaks_or_none() -> None:
    pytest.importorskip("espeakng_loader")
    config = load_config(overrides={"audio.text": "none", "audio.emotion": "none"})
    findings = {found.measure: found for found in exam(config, load_experts(config), quick=True)}
    assert all(found.passed for found in findings.values()), findings
    assert findings["right, two in view"].cases > 20
