"""Who is told what, on a server whose database is SQLite, as that of `dubwright up` is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from prefect import settings
from prefect.client.orchestration import SyncPrefectClient
from prefect.states import Completed, Failed, Pending, Running, State

from flows.deployments import TAG
from flows.notifications import notify_through
from tests.flows.serving import prefect_server, until
from tests.flows.webhook import Webhook, webhook_server

pytestmark = pytest.mark.slow

DEPLOYMENTS, ROUNDS = 6, 4


@pytest.fixture
def api(tmp_path: Path) -> Iterator[str]:
    """URL of the API of a server with its scheduler, told nothing yet."""
    with prefect_server(tmp_path, ephemeral=False) as url:
        yield url
    assert "Traceback" not in (tmp_path / "server.log").read_text()  # that it was slow it may say


def test_each_failure_and_each_recovery_is_told_once_however_many_runs_end_together(api: str) -> None:
    with webhook_server() as webhook:
        with settings.temporary_settings({settings.PREFECT_API_URL: api}):
            notify_through(webhook.url)
        with ThreadPoolExecutor(DEPLOYMENTS) as at_once:
            wanted = [
                line for lines in at_once.map(lambda n: turns(api, webhook, n), range(DEPLOYMENTS)) for line in lines
            ]
        until(lambda: len(webhook.heard) >= len(wanted), "not all was told", 60)
        assert sorted(said["subject"] for said in webhook.heard) == sorted(wanted)


def turns(api: str, webhook: Webhook, number: int) -> list[str]:
    """A deployment fails and works again, in turn: what should be told of it."""
    wanted = []
    with SyncPrefectClient(api) as client:
        made = client.create_deployment(client.create_flow_from_name(f"flow{number}"), f"d{number}", tags=[TAG])
        for _ in range(ROUNDS):
            wanted.append(f"dubwright: d{number} ({run(client, made, Failed(message='no footage'))}) failed")
            until(partial(webhook.has, wanted[-1]), f"nobody was told: {wanted[-1]}", 60)
            time.sleep(3)  # it is told of before it is remembered, on a busy machine by more than a second
            wanted.append(f"dubwright: d{number} ({run(client, made, Completed())}) works again")
            until(partial(webhook.has, wanted[-1]), f"nobody was told: {wanted[-1]}", 60)
    return wanted


def run(client: SyncPrefectClient, deployment: UUID, last: State[None]) -> str:
    begun = client.create_flow_run_from_deployment(deployment)
    states: list[State[None]] = [Pending(), Running(), last]
    for state in states:
        client.set_flow_run_state(begun.id, state)
    return begun.name
