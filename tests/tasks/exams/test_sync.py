"""The sync step on people it never saw."""

import pytest

from tasks.config import load_config
from tasks.exams.sync import exam
from tasks.experts import load_experts


@pytest.mark.slow
def test_offsets_are_found_and_corrected() -> None:
    pytest.importorskip("espeakng_loader")
    config = load_config(overrides={"audio.text": "none", "audio.emotion": "none"})
    findings = {found.measure: found for found in exam(config, load_experts(config), quick=True)}
    assert all(found.passed for found in findings.values()), findings
    assert findings["offset within 1 frame"].cases == 1
