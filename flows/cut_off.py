"""Runs whose process died with the worker that started it: nobody is left to say so, so that `dubwright up` does."""

from __future__ import annotations

import datetime
import sys
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags, FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.states import Crashed, StateType

from flows.deployments import TAG
from flows.services import environments

_CARRIED = b"PREFECT__FLOW_RUN_ID"
"""Prefect's name for the run that a process works on, in its environment."""
_ALIVE = (StateType.RUNNING, StateType.PENDING, StateType.CANCELLING)


def close_cut_off(worker_since: datetime.datetime) -> list[FlowRun]:
    """Runs of deployments that the server takes for alive and that no process of this machine works on are crashed, so
    that their place is free and somebody is told. Only where all workers of the server are on this machine.

    Args:
        worker_since: when the worker began; a run that was handed out before and never began is cut off, too.

    Returns:
        Those that were closed.
    """
    if not sys.platform.startswith("linux"):  # nobody's environment can be read
        return []
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    alive = FlowRunFilter.model_validate({"state": {"type": {"any_": list(_ALIVE)}}})
    closed = []
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=alive, deployment_filter=ours)
        worked_on = _worked_on() if runs else set()
        for run in runs:
            if run.id not in worked_on and _is_as_it_was(client, run) and _has_begun_or_never_will(run, worker_since):
                client.set_flow_run_state(run.id, Crashed(message="its process is gone: killed, or out of memory"))
                closed.append(run)
    return closed


def _worked_on() -> set[UUID]:
    """The runs that processes of this machine work on."""
    variables = (variable.partition(b"=") for _, environment in environments() for variable in environment)
    return {UUID(value.decode()) for name, _, value in variables if name == _CARRIED and value}


def _is_as_it_was(client: SyncPrefectClient, run: FlowRun) -> bool:
    """Still in the state that it had before its process was looked for: a run says how it ended before it goes."""
    now = client.read_flow_run(run.id).state
    return now is not None and run.state is not None and now.id == run.state.id


def _has_begun_or_never_will(run: FlowRun, worker_since: datetime.datetime) -> bool:
    """A run that waits for its process is left alone, if the worker that took it can still start one."""
    assert run.state is not None
    return run.state.is_running() or run.state.timestamp < worker_since
