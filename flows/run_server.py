"""The Prefect API that a run talks to: the user's, that of `dubwright up`, or one that lives as long as the run.

Prefect would start a temporary server by itself, but that one outlives a run that is killed, and it starts only when
the first flow asks for it. This one dies with its run, starts while the run's own imports go on, and is started again
where it dies first.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread

from flows.console import say
from flows.environment import keep_state_in
from flows.server import PATIENCE_S, free_port, served_url, start_server, wait_until_healthy
from flows.services import POLL_S, Service, look_after
from storage.atomic import FileLock
from storage.errors import DubwrightError
from storage.layout import Root


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
    port = free_port()
    with ExitStack() as stack:
        server = _server_of_a_run(port, stack.enter_context(ExitStack()))
        server.launch()
        stack.callback(server.end)
        stack.enter_context(_environment("PREFECT_API_URL", f"http://127.0.0.1:{port}/api"))

        def ready() -> None:
            server.wait()
            stack.enter_context(_kept_up(server))

        yield ready


def _server_of_a_run(port: int, starting: ExitStack) -> Service:
    """`starting` holds a lock from its start until it answers."""
    home = Path(os.environ["PREFECT_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    log = home / "server.log"

    def start() -> subprocess.Popen[bytes]:
        # A server that starts creates its database; two that do so in one folder at the same time would fail.
        starting.enter_context(FileLock(home / "start.lock", timeout_s=PATIENCE_S))
        return start_server(port, log, ephemeral=True)

    def ready(process: subprocess.Popen[bytes]) -> None:
        with starting:
            wait_until_healthy(f"http://127.0.0.1:{port}/api", process)

    return Service("Prefect server", start, ready, log)


@contextmanager
def _kept_up(server: Service) -> Iterator[None]:
    """Start it again whenever it ends; Prefect's requests are repeated meanwhile."""
    over = Event()

    def keep() -> None:
        try:
            while not over.wait(POLL_S):
                look_after(server)
        except DubwrightError as error:
            say(str(error))

    thread = Thread(target=keep, name="prefect-server", daemon=True)
    thread.start()
    try:
        yield
    finally:
        _send_what_is_queued()  # first: a server that this thread has started is asked to end when the thread does
        over.set()
        thread.join()


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
