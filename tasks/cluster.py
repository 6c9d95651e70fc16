"""Ray, started once and quietly: on this machine, or joined where `--ray` or RAY_ADDRESS names a cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import ray
import ray.data
from ray.data import ActorPoolStrategy, DataContext
from ray.exceptions import RayError

from storage.errors import ConfigError, WorkersFailed
from storage.layout import Root
from tasks.cluster_nodes import Expected, check_nodes, expected, folders_of, take_part
from tasks.cluster_room import Kind, await_room, needs_of, workers_for
from tasks.config import Config
from tasks.config_runtime import CLIENT_REFUSED
from tasks.loopback import answers, reachable_as

_DEFAULTS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # a worker that dies is reported in its row
    "RAY_worker_niceness": "0",  # the default of 15 starves the workers wherever anything else runs
    "DO_NOT_TRACK": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "NO_ALBUMENTATIONS_UPDATE": "1",
}
_FEW = 4
"""Rows for each worker up to which none is sent ahead."""
_PASSED_ON = ("DUBWRIGHT_", "HF_", "DIFFUSERS_", "TRANSFORMERS_", "TOKENIZERS_", "ORT_", "NO_ALBUMENTATIONS_")


_checked: set[tuple[str, str]] = set()
"""(root, folder) that every node has been found to see."""


def address(config: Config) -> str | None:
    """Of the cluster to join; None where Ray is to be started here.

    Raises:
        ConfigError: RAY_ADDRESS names a Ray Client.
    """
    named = config.runtime.ray or os.environ.get("RAY_ADDRESS")
    if named and named.startswith("ray://"):
        raise ConfigError(f"RAY_ADDRESS is {named}: {CLIENT_REFUSED}", "`ray job submit` brings a command there")
    return None if named in (None, "", "local") else named


def start(config: Config, paths: Iterable[str | os.PathLike[str]] = ()) -> None:
    """Start Ray, or join the cluster of `--ray` or RAY_ADDRESS. Safe to call again.

    A Ray started here listens on this machine only, keeps its object store small (paths travel, not frames) and says
    nothing on the terminal. Of a cluster, every node must run this code and see the root and the folders of `paths`.

    Raises:
        ConfigError: no cluster answers there, or a node cannot take part.
    """
    join(config)
    if address(config) is not None:
        root = Root(config.root).create()
        new = [folder for folder in folders_of(paths) if (root.uri, folder) not in _checked]
        if new or (root.uri, "") not in _checked:
            check_nodes(expected(root), new)
            _checked.update((root.uri, folder) for folder in ["", *new])


def expectation(config: Config) -> Expected | None:
    """What workers ask of their node as they start; None where Ray is this process's own."""
    return None if address(config) is None else expected(Root(config.root))


def settings(config: Config) -> dict[str, Any]:
    """The configuration as it travels to workers, whose folder may be another one."""
    return config.model_dump(mode="json") | {"root": Root(config.root).uri}


def join(config: Config) -> None:
    """`start` without asking the nodes."""
    if ray.is_initialized():
        return
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    threads = str(config.runtime.threads)
    variables = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    variables |= {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    options: dict[str, Any] = {"runtime_env": {"env_vars": variables}, "log_to_driver": False}
    named = address(config)
    if named is None:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        # One more than there are: to read rows takes a moment of one, which must not wait for a worker to give up its.
        cpus = config.runtime.num_cpus or len(os.sched_getaffinity(0)) + 1
        options |= {
            "address": "local", "num_cpus": cpus, "include_dashboard": False,
            "object_store_memory": config.runtime.object_store_mb << 20,
        }  # fmt: skip
    else:
        options["address"] = named
        if not answers(named):  # Ray would try for minutes
            raise ConfigError(
                f"the Ray cluster at {named} cannot be joined: nobody answers there", "see whether its head is up"
            )
    try:
        with reachable_as(named), _quiet_start():
            ray.init(logging_level=logging.ERROR, **options)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, RayError) as error:
        if named is None:
            raise
        cause = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ConfigError(
            f"the Ray cluster at {named} cannot be joined: {cause}",
            "run on one of its nodes (`ray status` says whether it is), with the same Ray and Python, and with "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH where it asks for a token",
        ) from error
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)


@contextlib.contextmanager
def _quiet_start() -> Iterator[None]:
    """Ray's core announces its own log level on the terminal, past Python; errors still arrive as exceptions."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def map_rows(
    rows: list[dict[str, Any]], worker: Callable[..., Any], arguments: tuple[Any, ...], config: Config,
    kind: Kind = "preprocess",
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Rows through a pool of actors that each build `worker(*arguments)` once; results as they come, in any order.

    One row is one block. A row whose worker dies is tried again `runtime.max_task_retries` times and then missing from
    the results: the caller knows which rows it gave and records the missing ones. With `runtime.in_process` all of it
    happens here, one row after the other (to debug a step, and for a handful of short files).

    Args:
        worker: a class; called with a row (dict of plain values), returns a dict of plain values and must not raise.
        kind: of worker, see `runtime.resources`.

    Raises:
        WorkersFailed: no worker can start (an error as it is built, out of memory), or the cluster is gone.
    """
    if config.runtime.in_process:
        own = worker(*arguments) if rows else None
        yield from (own(row) for row in rows if own is not None)
        return
    if not rows:
        return
    start(config)
    context = DataContext.get_current()
    context.max_errored_blocks = -1
    needs = needs_of(config, kind)
    await_room(needs, config)
    workers = workers_for(len(rows), kind, needs, config, spare=1)
    # A row that waits at its worker spares it the 0.15 s until the next one is sent; where there are few rows, each
    # goes to whoever is free first.
    waiting = 2 if len(rows) > _FEW * workers else 1
    pool = ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=waiting)
    runtime = config.runtime
    retries: dict[str, Any] = {"max_restarts": runtime.max_restarts, "max_task_retries": runtime.max_task_retries}
    settled: Callable[..., Any] = _Settled
    given = (expectation(config), worker, arguments)
    with warnings.catch_warnings():
        # These have no named parameter yet; without the retries a row that kills its worker is tried for ever.
        warnings.filterwarnings("ignore", message=".*ray_remote_args.*")
        results = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            settled, fn_constructor_args=given, compute=pool, **needs, **retries
        )
    tables: Iterator[Any] = iter(results.iter_batches(batch_size=None, batch_format="pyarrow"))
    while True:
        try:
            table = next(tables)
        except StopIteration:
            return
        except RayError as error:
            raise WorkersFailed(
                f"the workers of Ray cannot work: {cause(error)}",
                "give them memory or fewer runtime.actors; runtime.in_process=true works without Ray",
            ) from error
        yield from table.to_pylist()


class _Settled:
    """A worker on a node that may take part."""

    def __init__(self, wanted: Expected | None, worker: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        take_part(wanted)
        self._worker = worker(*arguments)

    def __call__(self, row: dict[str, Any]) -> Any:
        return self._worker(row)


def cause(error: RayError) -> str:
    """What a worker said last, without Ray's traceback."""
    said = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "creation task" in said[0]:
        return f"one died as it started: {said[-1]}"
    return f"{said[0].rstrip('.')} (killed, crashed or out of memory)"
