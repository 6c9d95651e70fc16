"""Prefect servers of tests: that of `dubwright up` on a root of a test, with what is asked of it, and one by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import Artifact, FlowRun

from flows.server import free_port, start_server, stop, wait_until_healthy
from storage.layout import Root
from tests.conftest import PROJECT
from tests.flows.test_cli import the_object

PATIENCE_S = 1200.0
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "RAY_", "DUBWRIGHT_"))}


def command(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", "--root", str(root), *words],
        capture_output=True, text=True, timeout=2 * PATIENCE_S, cwd=PROJECT, env=CLEAN,
    )  # fmt: skip


@dataclass
class Served:
    """A root that is up, and a client of its server."""

    root: Root
    port: int
    facts: dict[str, Any]
    client: SyncPrefectClient

    def note(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root.local / ".prefect" / "up.json").read_text())
        return found

    def begin(self, name: str, **parameters: Any) -> FlowRun:
        deployment = self.client.read_deployment_by_name(name)
        return self.client.create_flow_run_from_deployment(deployment.id, parameters=parameters)

    def is_over(self, run: UUID) -> bool:
        state = self.client.read_flow_run(run).state
        return state is not None and state.is_final()

    def ended(self, run: UUID) -> FlowRun:
        until(lambda: self.is_over(run), f"run {run} does not end")
        return self.client.read_flow_run(run)

    def artifacts(self, run: UUID) -> dict[str, Artifact]:
        mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
        return {entry.key or "": entry for entry in self.client.read_artifacts(artifact_filter=mine, limit=50)}


def until(true: Callable[[], bool], otherwise: str, patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.5)


@contextmanager
def up(root: Root, *words: str) -> Iterator[Served]:
    """Up with these words, and down in the end."""
    port = free_port()
    told = command(root.local, "up", "--detach", "--json", "--port", str(port), *words)
    try:
        assert told.returncode == 0, told.stderr
        with SyncPrefectClient(f"http://127.0.0.1:{port}/api") as client:
            yield Served(root, port, the_object(told.stdout), client)
    finally:
        command(root.local, "down")


@contextmanager
def prefect_server(folder: Path, ephemeral: bool = True, **environment: str) -> Iterator[str]:
    """URL of the API of a Prefect server that keeps its state and its log in `folder`."""
    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"PREFECT_HOME": str(folder), **environment}.items():
            patch.setenv(name, value)
        process = start_server(port, folder / "server.log", ephemeral)
    url = f"http://127.0.0.1:{port}/api"
    try:
        wait_until_healthy(url, process)
        yield url
    finally:
        stop(process)
