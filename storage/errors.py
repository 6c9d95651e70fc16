"""The family of errors that a user meets: each has a cause and a remedy, and the command prints it without a traceback.

All of them survive pickling (they travel out of Ray workers and subprocesses) and can be turned into the outcome
columns of a row with `outcome`, because every input ends as a row.
"""

from __future__ import annotations

from typing import Any

from storage.masking import masked


class DubwrightError(Exception):
    """Something went wrong that the user can understand.

    Args:
        message: the cause, one sentence, naming the file or the option. Secrets in it are masked.
        remedy: what to do about it, one sentence; may be empty.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(masked(message))
        self.message = masked(message)
        self.remedy = masked(remedy)

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.__dict__.copy())


def _rebuild(kind: type[DubwrightError], state: dict[str, Any]) -> DubwrightError:
    error = kind.__new__(kind)
    Exception.__init__(error, state["message"])
    error.__dict__.update(state)
    return error


class InputRejected(DubwrightError):
    """An input that is whole but not wanted: one measure is on the wrong side of its threshold.

    Args:
        stage: the step that measured, e.g. ``"faces"``.
        measure: what was measured, e.g. ``"face_ratio"``.
        value: what was found, in `unit`.
        threshold: what was asked for, in `unit`.
        unit: unit of both; empty for a plain number.
        remedy: what to do, e.g. which parameter to lower.
        path: the file, where there is one.
        reason: the sentence for people; made from the rest when empty.
    """

    def __init__(
        self,
        stage: str,
        measure: str,
        value: float | None = None,
        threshold: float | None = None,
        unit: str = "",
        remedy: str = "",
        *,
        path: str = "",
        reason: str = "",
    ) -> None:
        if not reason:
            reason = f"{measure} is {_number(value)}{unit and ' ' + unit}, threshold {_number(threshold)}"
        where = f"{path}: " if path else ""
        super().__init__(f"{where}rejected at {stage}: {reason}", remedy)
        self.stage = stage
        self.measure = measure
        self.value = value
        self.threshold = threshold
        self.unit = unit
        self.path = str(path)
        self.reason = reason


class InputFailed(DubwrightError):
    """An input that could not be processed: broken, unreadable, or a step died on it.

    Args:
        path: the file.
        cause: what happened.
        remedy: what to do.
        stage: the step in which it happened.
        time_s: position in the file (seconds), where known.
        error_type: name of the underlying exception's class.
    """

    def __init__(
        self,
        path: str,
        cause: str,
        remedy: str = "",
        *,
        stage: str = "probe",
        time_s: float | None = None,
        error_type: str = "",
    ) -> None:
        at = f" at {time_s:.3f} s" if time_s is not None else ""
        super().__init__(f"{path}{at}: {cause}", remedy)
        self.path = str(path)
        self.cause = cause
        self.stage = stage
        self.time_s = time_s
        self.error_type = error_type or type(self).__name__


class StorageFull(DubwrightError):
    """The disk (or the quota) is full; nothing half-written was left at the destination."""


class WorkersFailed(DubwrightError):
    """The pool of workers could not be kept up: they do not start, or the cluster is lost. What was finished stays."""


class LockHeld(DubwrightError):
    """Another process holds the lock that this one needs."""


class NotFound(DubwrightError):
    """A dataset, model, version or row of that name does not exist."""

    exit_code = 2


class UsageError(DubwrightError):
    """The command was called in a way that cannot work."""

    exit_code = 2


class ConfigError(UsageError):
    """The configuration, or something installed, does not allow what was asked."""


def outcome(error: BaseException, stage: str = "") -> dict[str, Any]:
    """The outcome columns of the row that `error` ends: status, stage, measure, value, threshold, reason, error_type.

    Anything that is not an `InputRejected` counts as ``failed``; `stage` is used where the error does not name its own.
    """
    columns: dict[str, Any] = {
        "status": "failed",
        "stage": getattr(error, "stage", "") or stage,
        "measure": None,
        "value": None,
        "threshold": None,
        "reason": str(error) or repr(error),
        "error_type": getattr(error, "error_type", "") or type(error).__name__,
    }
    if isinstance(error, InputRejected):
        reason = f"{error.reason} ({error.remedy})" if error.remedy else error.reason
        columns.update(
            status="rejected", measure=error.measure, value=_float(error.value), threshold=_float(error.threshold),
            reason=reason, error_type=None,
        )  # fmt: skip
    columns["reason"] = masked(columns["reason"])
    return columns


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:g}"
