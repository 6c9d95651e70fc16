"""What is started on this machine is reached from this machine alone."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from flows.server import free_port
from flows.services import marked
from flows.up import read_note
from storage.layout import Root
from tests.conftest import PROJECT
from tests.security.listeners import Listener, listeners_of

pytestmark = pytest.mark.timeout(600)
RAY = """
import os, sys
import ray
from tasks.cluster import start
from tasks.config import load_config
start(load_config(root=sys.argv[1], overrides={"runtime.num_cpus": 1}))
print(ray.get(ray.remote(num_cpus=0)(lambda: os.getpid()).remote()), flush=True)
sys.stdin.read()
"""
PREFECT = """
import os, sys
from flows.run_server import prefect_api
from flows.server import free_port
from flows.services import marked
from flows.up import read_note
from storage.layout import Root
with prefect_api(Root(sys.argv[1]).create()) as ready:
    ready()
    print(os.environ["PREFECT_API_URL"], flush=True)
    sys.stdin.read()
"""


def program(script: str, root: Root) -> tuple[subprocess.Popen[str], str]:
    """A script as a process of its own, and what it said when it was ready."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "RAY_"))}
    started = subprocess.Popen(
        [sys.executable, "-c", script, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=PROJECT, env=ours,
    )  # fmt: skip
    assert started.stdout is not None
    said = started.stdout.readline().strip()
    assert said, "it did not start"
    return started, said


def end(started: subprocess.Popen[str]) -> None:
    family = psutil.Process(started.pid).children(recursive=True)
    started.communicate("", timeout=60)
    psutil.wait_procs(family, timeout=20)


def only_here(found: list[Listener], *programs: str) -> None:
    """All of these programs listen, and nobody on another interface than loopback."""
    for name in programs:
        assert any(name in listener.program for listener in found), f"{name} listens nowhere: {found}"
    assert [listener for listener in found if not listener.is_loopback] == []


@pytest.mark.slow
def test_a_ray_of_our_own(root: Root) -> None:
    """Also where nothing but tasks was imported, so that no flow has set the environment."""
    started, _ = program(RAY, root)
    try:
        only_here(listeners_of(started.pid), "gcs_server", "raylet", "python", "ray::")
    finally:
        end(started)


def answer(url: str, body: dict[str, str] | None = None, **headers: str) -> tuple[int, str | None]:
    """Status, and the origin that may read the answer, of a GET or, with a body, of a POST."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(asked, timeout=60) as given:
            return given.status, given.headers["Access-Control-Allow-Origin"]
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers["Access-Control-Allow-Origin"]


@pytest.mark.slow
def test_the_server_of_a_run(root: Root) -> None:
    """Heard on loopback alone; and there, a page of somebody else in the user's browser gets nothing out of it."""
    started, url = program(PREFECT, root)
    try:
        only_here(listeners_of(started.pid), "python")
        evil = "http://evil.example"
        assert answer(f"{url}/admin/settings", Origin=evil)[1] is None
        assert answer(f"{url}/health", Origin=url.removesuffix("/api")) == (200, url.removesuffix("/api"))
        for kind in ("application/json", "text/plain"):
            assert answer(f"{url}/flows/", {"name": "evil"}, Origin=evil, Content_Type=kind)[0] == 403
        assert stat.S_IMODE((root.local / ".prefect").stat().st_mode) == 0o700
    finally:
        end(started)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_all_that_up_starts(root: Root) -> None:
    """Prefect server, worker, Ray head, reports: whatever carries the mark of this `up`."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "RAY_"))}
    words = [sys.executable, "-m", "flows.cli", "--root", str(root)]
    up = [*words, "up", "--detach", "--port", str(free_port())]
    subprocess.run(up, check=True, cwd=PROJECT, env=ours, timeout=1200, capture_output=True)
    try:
        token = read_note(root)["token"]
        found = [listener for pid in marked(token) for listener in listeners_of(pid)]
        only_here(found, "gcs_server", "raylet", "python")
    finally:
        subprocess.run([*words, "down"], cwd=PROJECT, env=ours, timeout=600, capture_output=True)


def test_the_kernel_is_read_right(tmp_path: Path) -> None:
    """What listens on all interfaces is seen as such."""
    script = (
        "import socket, sys\n"
        "open_ = [socket.create_server(('', 0)), socket.create_server(('127.0.0.1', 0)),\n"
        "         socket.create_server(('::', 0), family=socket.AF_INET6, dualstack_ipv6=True)]\n"
        "print('ready', flush=True)\nsys.stdin.read()"
    )
    started, _ = program(script, Root(tmp_path))
    try:
        assert sorted(listener.is_loopback for listener in listeners_of(started.pid)) == [False, False, True]
    finally:
        end(started)
