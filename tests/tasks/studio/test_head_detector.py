"""A real face detector (SCRFD) takes the studio's heads for faces and puts its five points where the truth says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.faces import FaceAnalyzer
from tasks.studio.controls import EMOTIONS, Controls, emotion_aus
from tasks.studio.identity import sample_identity
from tasks.studio.render import render, sample_scene

PEOPLE = 5


@pytest.fixture(scope="module")
def detector(shared_dir: Path) -> FaceAnalyzer:
    weights = shared_dir / "weights" / "scrfd_2.5g_bnkps.onnx"
    if not weights.is_file():
        pytest.skip("no SCRFD weights")
    return FaceAnalyzer(str(weights), det_thresh=0.5)


def test_scrfd_finds_the_heads(detector: FaceAnalyzer) -> None:
    rng = np.random.default_rng(5)
    errors, found = [], 0
    for person in range(PEOPLE):
        controls = Controls.neutral(1).set("yaw", rng.uniform(-0.5, 0.5)).set("pitch", rng.uniform(-0.2, 0.2))
        controls.aus[:] = emotion_aus(EMOTIONS[person % 8], int(rng.integers(1, 4)))
        controls.set("jaw", rng.uniform(0, 0.6))
        identity = sample_identity(900 + person)
        rendered = render(sample_scene(identity, person), controls, (128, 128), compile_field=False)
        faces = detector.detect(rendered.frames[0], embed=False)
        found += bool(faces)
        if faces:
            eyes = np.linalg.norm(rendered.kps[0, 1] - rendered.kps[0, 0])
            errors.append(np.linalg.norm(faces[0].kps - rendered.kps[0], axis=-1) / eyes)
    assert found == PEOPLE
    assert np.mean(errors) < 0.10  # of the distance between the eyes
