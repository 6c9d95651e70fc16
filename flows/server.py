"""The Prefect API that a run talks to: the user's, that of `dubwright up`, or one that lives as long as the run.

Prefect would start a temporary server by itself, but that one outlives a run that is killed, and it starts only when
the first flow asks for it. This one dies with its run, and starts while the run's own imports go on.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from flows.environment import keep_state_in
from storage.atomic import FileLock
from storage.errors import DubwrightError
from storage.layout import Root

PATIENCE_S = 900.0
_PR_SET_PDEATHSIG = 1


@contextmanager
def prefect_api(root: Root) -> Iterator[Callable[[], None]]:
    """Provide a Prefect API for the body, its URL in PREFECT_API_URL, and a function that waits until it answers.

    Import Prefect and what the flow needs before calling that function: the server starts meanwhile.

    Raises:
        DubwrightError: from the function, when the server did not start.
    """
    keep_state_in(root.local)
    found = os.environ.get("PREFECT_API_URL") or served_url(root)
    if found:
        with _environment("PREFECT_API_URL", found):
            yield partial(wait_until_healthy, found)
        return
    home = Path(os.environ["PREFECT_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    # A server that starts creates its database; two that do so in one folder at the same time would fail.
    starting = ExitStack()
    starting.enter_context(FileLock(home / "start.lock", timeout_s=PATIENCE_S))
    process = start_server(port, home / "server.log", ephemeral=True)

    def ready() -> None:
        with starting:
            wait_until_healthy(url, process)

    with _environment("PREFECT_API_URL", url):
        try:
            yield ready
        finally:
            starting.close()
            _send_what_is_queued()
            stop(process)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


def _send_what_is_queued() -> None:
    # Prefect sends logs and events from threads; they would complain about a server that has gone.
    if "prefect" in sys.modules:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

        for worker in (APILogWorker, EventsWorker):
            worker.drain_all(timeout=5)


def start_server(port: int, log: Path, ephemeral: bool) -> subprocess.Popen[bytes]:
    """Start a Prefect server on 127.0.0.1; it ends when this process does, even by SIGKILL.

    An ephemeral one serves the API alone; the other also its pages and its scheduler.
    """
    environment = dict(os.environ)
    environment.pop("PREFECT_API_URL", None)  # the server must not take itself for a client of another one
    # Any page that is open in a browser can send requests to this machine; only the server's own may be answered.
    for name, value in {"CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port}", "CSRF_PROTECTION_ENABLED": "true"}.items():
        environment.setdefault(f"PREFECT_SERVER_{name}", value)
    if ephemeral:
        environment |= {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    else:
        environment.setdefault("PREFECT_UI_URL", f"http://127.0.0.1:{port}")  # for the links in notifications
    app = ["uvicorn", "--factory", "prefect.server.api.server:create_app", "--lifespan", "on", "--log-level", "error"]
    with log.open("ab") as sink:
        words = [sys.executable, "-m", *app, "--host", "127.0.0.1", "--port", str(port)]
        return subprocess.Popen(
            ending_with_parent(words), env=environment, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
        )


def wait_until_healthy(
    url: str, process: subprocess.Popen[bytes] | None = None, patience_s: float = PATIENCE_S
) -> None:
    """Block until the API answers.

    Raises:
        DubwrightError: it did not within `patience_s`, or `process` ended.
    """
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if is_healthy(url):
            return
        if process is not None and process.poll() is not None:
            break
        time.sleep(0.1)
    raise DubwrightError(
        f"the Prefect server at {url} does not answer",
        "see server.log in the .prefect folder of the root, or point PREFECT_API_URL at a running server",
    )


def is_healthy(url: str) -> bool:
    """True where a Prefect API answers at `url`."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def served_url(root: Root) -> str | None:
    """URL of the server that `dubwright up` runs for this root, if it is up."""
    note = root.local / ".prefect" / "up.json"
    try:
        url = json.loads(note.read_text())["url"]
    except (OSError, ValueError, KeyError):
        return None
    return url if is_healthy(url) else None


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody takes connections on that port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def stop(process: subprocess.Popen[bytes], patience_s: float = 5.0) -> None:
    """End a server: ask, then insist."""
    process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def ending_with_parent(words: list[str]) -> list[str]:
    """A command line whose process is asked to end when its parent ends, however that comes about."""
    # Linux only; elsewhere a killed run leaves its server behind, as Prefect's own would be. A small program sets it
    # and becomes the other: between fork and exec of a process with threads, Python code may wait for ever for a lock.
    if sys.platform != "linux":
        return words
    asked = f"ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, {int(signal.SIGTERM)})"
    return [sys.executable, "-I", "-S", "-c", f"import ctypes,os,sys; {asked}; os.execv(sys.argv[1], sys.argv[1:])",
            *words]  # fmt: skip
