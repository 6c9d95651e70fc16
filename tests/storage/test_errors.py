"""Errors tell cause and remedy, travel between processes, and become the outcome of a row."""

from __future__ import annotations

import pickle

import pytest

from storage.errors import (
    ConfigError,
    DubwrightError,
    InputFailed,
    InputRejected,
    LockHeld,
    NotFound,
    UsageError,
    outcome,
)

ALL = [
    DubwrightError("it broke", "mend it"),
    InputRejected("faces", "face_ratio", 0.1, 0.5, "", "lower --min-face-ratio", path="a.mp4"),
    InputRejected("probe", "bytes", 0, 1, "byte", reason="the file is empty"),
    InputFailed("a.mp4", "does not decode", "copy it again", stage="decode", time_s=1.5, error_type="InvalidDataError"),
    LockHeld("held", "wait"),
    NotFound("no such model", "known: a"),
    UsageError("wrong flag", "use another"),
    ConfigError("missing pack", "install it"),
]


@pytest.mark.parametrize("error", ALL, ids=lambda error: type(error).__name__)
def test_survives_pickling(error: DubwrightError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.__dict__ == error.__dict__
    assert error.remedy in str(error)


def test_exit_codes() -> None:
    assert [error.exit_code for error in ALL] == [1, 1, 1, 1, 1, 2, 2, 2]


def test_a_rejection_names_measure_value_threshold_and_unit() -> None:
    error = InputRejected("quality", "face_px", 31.5, 50, "px", "use larger footage", path="b.mp4")
    assert "b.mp4" in str(error)
    assert "face_px is 31.5 px, threshold 50" in str(error)
    row = outcome(error)
    assert row == {
        "status": "rejected", "stage": "quality", "measure": "face_px", "value": 31.5, "threshold": 50.0,
        "reason": "face_px is 31.5 px, threshold 50 (use larger footage)", "error_type": None,
    }  # fmt: skip


def test_a_failure_names_file_time_and_cause() -> None:
    row = outcome(ALL[3])
    assert (row["status"], row["stage"], row["error_type"]) == ("failed", "decode", "InvalidDataError")
    assert "a.mp4 at 1.500 s: does not decode" in row["reason"]


def test_any_other_error_is_a_failure_of_its_stage() -> None:
    row = outcome(ZeroDivisionError("division by zero"), "crops")
    assert (row["status"], row["stage"], row["error_type"]) == ("failed", "crops", "ZeroDivisionError")
    assert outcome(ValueError(), "x")["reason"] == "ValueError()"
