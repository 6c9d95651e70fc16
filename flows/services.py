"""Processes that stay: started in order, started again when they die, ended in reverse; and what they left, found."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from flows.console import say
from flows.server import stop
from storage.errors import DubwrightError

MARK = "DUBWRIGHT_UP"
"""Environment variable by which the processes of one `dubwright up` are known, whoever their parent is by now."""
POLL_S = 0.5
SOMETIMES_S = 10.0
SETTLED_S = 60.0
"""A service that stayed up for so long has got over what ended it before."""
MOST_FAILURES = 5
LONGEST_WAIT_S = 30.0


@dataclass
class Service:
    """A process and how it is brought up.

    start: begin it. ready: block until it can be used, an error where it does not come up. patience_s: how long it may
    take to end by itself. log: where it writes.
    """

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    ready: Callable[[subprocess.Popen[bytes]], None]
    log: Path
    patience_s: float = 10.0
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    failures: int = field(default=0, init=False)
    since: float = field(default=0.0, init=False)
    again_at: float = field(default=0.0, init=False)

    def begin(self) -> None:
        """Start it and wait until it is ready."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it; `wait` must follow."""
        self.process = self.start()
        self.since = time.monotonic()

    def wait(self) -> None:
        """Block until it can be used."""
        assert self.process is not None
        self.ready(self.process)

    def end(self) -> None:
        """Ask it to end, then insist."""
        if self.process is not None:
            stop(self.process, self.patience_s)
            self.process = None


def watch(services: Sequence[Service], sometimes: Callable[[], None] | None = None) -> None:
    """Start again what ends, for ever; the waits between grow where it does not stay up.

    Args:
        sometimes: called every `SOMETIMES_S`.

    Raises:
        DubwrightError: one ended `MOST_FAILURES` times in a row.
    """
    due = time.monotonic() + SOMETIMES_S
    while True:
        for service in services:
            look_after(service)
        if sometimes is not None and time.monotonic() >= due:
            sometimes()
            due = time.monotonic() + SOMETIMES_S
        time.sleep(POLL_S)


def look_after(service: Service) -> None:
    """Start a service again if it has ended and its wait is over.

    Raises:
        DubwrightError: it ended too often.
    """
    now = time.monotonic()
    running = service.process is not None and service.process.poll() is None
    if running:
        if service.failures and now - service.since > SETTLED_S:
            service.failures = 0
        return
    if service.process is not None:
        code = service.process.returncode
        service.process = None
        _failed(service, f"ended with code {code}", now)
    if now < service.again_at:
        return
    try:
        service.begin()
        say(f"{service.name}: up again")
    except DubwrightError as error:
        service.end()
        _failed(service, error.message, time.monotonic())


def _failed(service: Service, why: str, now: float) -> None:
    service.failures += 1
    if service.failures > MOST_FAILURES:
        raise DubwrightError(f"the {service.name} does not stay up: {why}", f"see {service.log}")
    wait = 0.0 if service.failures == 1 else min(LONGEST_WAIT_S, 2.0**service.failures)
    service.again_at = now + wait
    say(f"{service.name}: {why}, starting it again" + (f" in {wait:g} s" if wait else ""))


def marked(token: str) -> list[int]:
    """Processes that carry the mark of one `dubwright up` in their environment (Linux; elsewhere none are found)."""
    wanted = f"{MARK}={token}".encode()
    return [pid for pid, environment in environments() if pid != os.getpid() and wanted in environment]


def environments() -> Iterator[tuple[int, list[bytes]]]:
    """(pid, its variables as ``NAME=value``) of each process of this user (Linux; elsewhere there are none)."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone by now, or somebody else's
            yield int(entry.name), (entry / "environ").read_bytes().split(b"\0")


def end_marked(token: str, patience_s: float = 10.0) -> int:
    """End the processes with a mark: ask, then insist. Returns how many there were."""
    seen: set[int] = set()
    deadline = time.monotonic() + patience_s
    while left := marked(token):
        insist = time.monotonic() > deadline
        for pid in left:
            if insist or pid not in seen:
                _send(pid, signal.SIGKILL if insist else signal.SIGTERM)
        seen.update(left)
        time.sleep(0.1)
    return len(seen)


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return
