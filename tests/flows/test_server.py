"""The Prefect API of a run: it starts, it is shared where one is served, and it dies with its run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from flows import run_server, server
from storage.layout import Root
from tests.conftest import PROJECT

SCRIPT = """
import os, sys, time
from flows.run_server import prefect_api
from storage.layout import Root
with prefect_api(Root(sys.argv[1]).create()) as ready:
    ready()
    print(os.environ["PREFECT_API_URL"], flush=True)
    time.sleep(120)
"""
KILLED = """
import sys
from pathlib import Path
from flows.run_server import prefect_api
from storage.layout import Root
with prefect_api(Root(sys.argv[1]).create()) as ready:
    import psutil
    from prefect import flow, get_client, task
    from prefect.runtime import flow_run
    ready()

    @task
    def step(number):
        for child in psutil.Process().children():
            if number == 2 and "flows.prefect_app:create_app" in child.cmdline():
                child.kill()
        return number

    @flow
    def three():
        return flow_run.id, [step(number) for number in (1, 2, 3)]

    run_id, made = three()
    with get_client(sync_client=True) as client:
        print(made, client.read_flow_run(run_id).state_name)
"""


@pytest.mark.slow
def test_the_server_of_a_killed_run_goes_with_it(root: Root) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    run = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(root)], stdout=subprocess.PIPE, text=True, cwd=PROJECT, env=environment
    )
    assert run.stdout is not None
    url = run.stdout.readline().strip()
    assert server.is_healthy(url)
    run.send_signal(signal.SIGKILL)
    run.wait()
    deadline = time.monotonic() + 30
    while server.is_healthy(url):
        assert time.monotonic() < deadline, "the server outlived its run"
        time.sleep(0.2)
    assert (root.local / ".prefect" / "prefect.db").is_file()


@pytest.mark.slow
def test_a_run_whose_server_is_killed_goes_on_with_another(root: Root) -> None:
    run = subprocess.run(
        [sys.executable, "-c", KILLED, str(root)], capture_output=True, text=True, cwd=PROJECT, timeout=240,
        env={name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout == "[1, 2, 3] Completed\n"
    assert "Prefect server: ended with code -9, starting it again" in run.stderr


def test_a_named_server_is_used_and_left_alone(prefect_url: str, root: Root) -> None:
    with run_server.prefect_api(root) as ready:
        ready()
        assert os.environ["PREFECT_API_URL"] == prefect_url
    assert os.environ["PREFECT_API_URL"] == prefect_url
    assert not (root.local / ".prefect").exists()


def test_a_served_url_counts_only_while_its_server_answers(prefect_url: str, root: Root) -> None:
    note = root.local / ".prefect" / "up.json"
    note.parent.mkdir()
    note.write_text(f'{{"url": "{prefect_url}"}}')
    assert server.served_url(root) == prefect_url
    note.write_text(f'{{"url": "http://127.0.0.1:{server.free_port()}/api"}}')
    assert server.served_url(root) is None
    note.write_text("torn")
    assert server.served_url(root) is None
