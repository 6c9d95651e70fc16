"""What the exams' tests share: the configured experts that look at faces."""

from __future__ import annotations

import pytest

from tasks.config import Config, load_config
from tasks.experts import Experts, load_faces


@pytest.fixture(scope="session")
def exam_config() -> Config:
    """The studio profile."""
    return load_config()


@pytest.fixture(scope="session")
def face_experts(exam_config: Config) -> Experts:
    """The shipped face pack alone."""
    return Experts(faces=load_faces(exam_config))
