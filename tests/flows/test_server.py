"""The Prefect API of a run: it starts, it is shared where one is served, and it dies with its run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from flows import server
from storage.layout import Root
from tests.conftest import PROJECT

SCRIPT = """
import os, sys, time
from flows.server import prefect_api
from storage.layout import Root
with prefect_api(Root(sys.argv[1]).create()) as ready:
    ready()
    print(os.environ["PREFECT_API_URL"], flush=True)
    time.sleep(120)
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


def test_a_named_server_is_used_and_left_alone(prefect_url: str, root: Root) -> None:
    with server.prefect_api(root) as ready:
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
