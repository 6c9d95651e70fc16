"""A Prefect server on this machine: started, asked whether it is well, ended; it never outlives what started it."""

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
from pathlib import Path

from storage.errors import DubwrightError
from storage.layout import Root

PATIENCE_S = 900.0
_PR_SET_PDEATHSIG = 1


def start_server(port: int, log: Path, ephemeral: bool) -> subprocess.Popen[bytes]:
    """Start a Prefect server on 127.0.0.1; it ends when this process does, even by SIGKILL.

    An ephemeral one serves the API alone; the other also its pages and its scheduler.
    """
    environment = dict(os.environ)
    environment.pop("PREFECT_API_URL", None)  # the server must not take itself for a client of another one
    # Any page that is open in a browser can send requests to this machine; only the server's own may be answered.
    for name, value in {"CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port}", "CSRF_PROTECTION_ENABLED": "true"}.items():
        environment.setdefault(f"PREFECT_SERVER_{name}", value)
    # What it has to say goes to its log, which nobody reads before something is wrong.
    environment |= {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING", "PREFECT_API_LOG_RETRYABLE_ERRORS": "true"}
    if ephemeral:
        environment |= {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    else:
        environment.setdefault("PREFECT_UI_URL", f"http://127.0.0.1:{port}")  # for the links in notifications
    app = ["uvicorn", "--factory", "flows.prefect_app:create_app", "--lifespan", "on", "--log-level", "error"]
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
