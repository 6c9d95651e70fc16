"""Speakers of unseen people, and whether any of them is in two splits."""

import numpy as np
import pytest

from tasks.config import Config
from tasks.exams import people
from tasks.experts import Experts


@pytest.mark.slow
def test_the_quick_exam_keeps_speakers_in_one_split(exam_config: Config, face_experts: Experts) -> None:
    findings = {f.measure: f for f in people.exam(exam_config, face_experts, quick=True, seed=0)}
    assert findings["speakers in two splits"].value == 0
    assert findings["labelled people in two splits"].value == 0
    assert findings["purity"].value >= 0.75
    assert findings["pairwise F1"].cases == 6


def test_an_exam_counts_clusters_against_people(exam_config: Config) -> None:
    faces = np.eye(512, dtype=np.float32)
    rows = [
        {"clip_id": f"{n}-{t}", "source_id": f"{n}-{t}", "truth": n, "speaker": None, "identity": faces[n]}
        for n in range(6) for t in range(3)
    ]  # fmt: skip
    found = {f.measure: f.value for f in people.findings(rows, exam_config)}
    assert (found["pairwise F1"], found["purity"], found["clusters a person"]) == (1, 1, 1)
    assert found["unlabelled people in two splits"] == 0
    rows[0]["identity"], rows[5]["identity"] = faces[50], faces[0]  # one alone, one with another person
    found = {f.measure: f.value for f in people.findings(rows, exam_config)}
    assert found["pairwise F1"] < 0.9 and found["purity"] == pytest.approx(17 / 18)
