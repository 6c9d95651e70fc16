"""Who is dubbed, on people nobody was trained on: from the film and its dub to the plan."""

import pytest

from tasks.config import load_config
from tasks.exams.turns import exam
from tasks.experts import load_experts


@pytest.mark.slow
def test_the_right_face_is_dubbed_or_none() -> None:
    pytest.importorskip("espeakng_loader")
    config = load_config(overrides={"audio.text": "none", "audio.emotion": "none"})
    findings = {found.measure: found for found in exam(config, load_experts(config), quick=True)}
    assert all(found.passed for found in findings.values()), findings
    assert findings["right face, one track"].cases > 20
    assert findings["each face its own track"].cases >= 2
