"""Stages of flows: tried again where that may help and only there, and stopped when their time is up."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable

import pytest
from prefect import flow
from ray.exceptions import RayTaskError, WorkerCrashedError

from flows.stages import Stage, stage_task
from storage.errors import (
    ConfigError,
    DubwrightError,
    InputFailed,
    InputRejected,
    LockHeld,
    NotFound,
    StorageFull,
    WorkersFailed,
)
from tasks.config import Config, load_config
from tasks.config_serving import KINDS
from tasks.retrying import worth_another_try

QUICK = {"serving.retries": 2, "serving.retry_delay_s": 0.0}


@pytest.mark.parametrize("error", [
    WorkersFailed("lost"), LockHeld("held"), WorkerCrashedError(), ConnectionResetError(errno.ECONNRESET, "reset"),
    TimeoutError("no answer"), RayTaskError("work", "...", WorkersFailed("lost")),
])  # fmt: skip
def test_what_the_surroundings_did_is_worth_another_try(error: Exception) -> None:
    assert worth_another_try(error)


@pytest.mark.parametrize("error", [
    InputRejected("faces", "face_ratio", 0.1, 0.9), InputFailed("a.mp4", "broken"), NotFound("no such model"),
    ConfigError("wrong"), StorageFull("full"), ValueError("a defect"), OSError(errno.ENOSPC, "full"),
    FileNotFoundError(errno.ENOENT, "gone"), RayTaskError("work", "...", ValueError("a defect")), None,
])  # fmt: skip
def test_what_would_come_again_is_not(error: Exception | None) -> None:
    assert not worth_another_try(error)


def failing(error: Exception, times: int) -> tuple[Stage[..., str], list[int]]:
    """A stage that fails so many times, and the tries it was given."""
    tries: list[int] = []

    @stage_task("failing")
    def work(config: Config) -> str:
        tries.append(len(tries))
        if len(tries) <= times:
            raise error
        return "done"

    return work, tries


def in_a_flow(body: Callable[[], str]) -> str:
    @flow(name="testing stages")
    def run() -> str:
        return body()

    return run()


@pytest.mark.usefixtures("prefect_url")
def test_a_stage_that_lost_its_workers_is_tried_again() -> None:
    work, tries = failing(WorkersFailed("lost"), 2)
    assert in_a_flow(lambda: work(load_config(overrides=QUICK))) == "done"
    assert len(tries) == 3


@pytest.mark.usefixtures("prefect_url")
def test_a_stage_that_would_fail_again_is_not() -> None:
    work, tries = failing(NotFound("no such model"), 1)
    with pytest.raises(NotFound):
        in_a_flow(lambda: work(load_config(overrides=QUICK)))
    assert len(tries) == 1


@pytest.mark.usefixtures("prefect_url")
def test_a_stage_is_stopped_when_its_time_is_up_and_not_tried_again() -> None:
    begun: list[float] = []

    @stage_task("training", "train")
    def work(config: Config) -> str:
        begun.append(time.monotonic())
        for _ in range(300):
            time.sleep(0.1)
        return "done"

    config = load_config(overrides={**QUICK, "serving.train_limit_h": 1.0 / 3600})
    with pytest.raises(DubwrightError, match="took longer than"):
        in_a_flow(lambda: work(config))
    assert len(begun) == 1
    assert time.monotonic() - begun[0] < 15


def test_every_kind_has_a_limit_of_time_and_of_number() -> None:
    serving = load_config().serving
    assert set(serving.slots()) == set(KINDS)
    assert all(serving.limit_s(kind) for kind in KINDS)
    assert load_config(overrides={"serving.train_limit_h": 0}).serving.limit_s("train") is None
    assert serving.limit_s("") is None
