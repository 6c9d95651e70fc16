"""A stage of a flow: a plain function as a Prefect task that tries again where that may help, and ends in time.

Every stage finds what it did before by the content of its inputs, so a second try goes on where the first one stopped.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, ParamSpec, TypeVar

from prefect import Task, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.concurrency.sync import concurrency
from prefect.states import State
from prefect.task_engine import TaskRunTimeoutError
from prefect.tasks import exponential_backoff

from storage.errors import DubwrightError
from tasks.config import Config
from tasks.config_serving import Serving
from tasks.retrying import worth_another_try

P = ParamSpec("P")
R = TypeVar("R")

JITTER = 0.3
"""Share by which a wait is lengthened at random, so that several that failed together do not come back together."""


def slot(kind: str) -> str:
    """Name of the concurrency limit of a kind of stages."""
    return f"dubwright-{kind}"


class Stage(Generic[P, R]):
    """A function as a task run; call it as the function. `fn` is the function itself.

    Where the function takes a `config`, its section `serving` says how often the stage is tried and how long it may
    take. In a run of a deployment a stage of a `kind` holds one of the slots that the server counts for all machines.
    """

    def __init__(self, fn: Callable[P, R], name: str, kind: str) -> None:
        functools.update_wrapper(self, fn)
        self.fn, self.name, self.kind = fn, name, kind
        self._signature = inspect.signature(fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        given = self._signature.bind(*args, **kwargs).arguments.values()
        config = next((value for value in given if isinstance(value, Config)), None)
        serving = config.serving if config is not None else Serving()
        with _one_of(self.kind):
            try:
                return self.task(serving)(*args, **kwargs)
            except TaskRunTimeoutError as error:
                hours = (serving.limit_s(self.kind) or 0.0) / 3600
                raise DubwrightError(
                    f"{self.name} took longer than {hours:g} h and was stopped",
                    f"run it again, it goes on where it stopped; or raise serving.{self.kind}_limit_h",
                ) from error

    def task(self, serving: Serving) -> Task[P, R]:
        """The Prefect task under these settings."""
        made = task(
            name=self.name, cache_policy=NO_CACHE, timeout_seconds=serving.limit_s(self.kind),
            retries=serving.retries, retry_delay_seconds=exponential_backoff(serving.retry_delay_s),
            retry_jitter_factor=JITTER, retry_condition_fn=_may_help, tags=[self.kind] if self.kind else [],
        )  # fmt: skip
        return made(self.fn)


def stage_task(name: str, kind: str = "") -> Callable[[Callable[P, R]], Stage[P, R]]:
    """Make a function a stage: ``@stage_task("fit", "train")``; kinds are those of `tasks.config_serving.KINDS`."""

    def made(fn: Callable[P, R]) -> Stage[P, R]:
        return Stage(fn, name, kind)

    return made


def _may_help(_task: Task[..., Any], _run: object, state: State[Any]) -> bool:
    error = state.data
    if isinstance(error, TaskRunTimeoutError):  # it would take as long again
        return False
    return isinstance(error, BaseException) and worth_another_try(error)


@contextmanager
def _one_of(kind: str) -> Iterator[None]:
    """Hold a slot of a kind of stages; a command by hand is the user's own business and holds none."""
    if not kind or not runtime.deployment.id:
        yield
        return
    # A limit that is missing is an error (strict), else everything would run at once without a word. But a slot that
    # cannot be renewed, because the server is away for a while, is no reason to throw a night's training away.
    with concurrency(slot(kind), strict=True, raise_on_lease_renewal_failure=False):
        yield
