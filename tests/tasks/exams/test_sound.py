"""The measures of sound against the truth."""

import pytest

from tasks.config import load_config
from tasks.exams.sound import exam
from tasks.experts import load_experts


def test_speech_loudness_pitch_and_rate_are_right() -> None:
    pytest.importorskip("espeakng_loader")
    config = load_config(overrides={"audio.text": "none", "audio.emotion": "none", "audio.sync": "none"})
    findings = {found.measure: found for found in exam(config, load_experts(config), quick=True)}
    assert all(found.passed for found in findings.values()), findings
    assert findings["voice activity, recall"].value > 0.95
    assert findings["loudness, error"].value < 0.1
