"""`dubwright up`: Prefect server, worker, deployments and a Ray head on this machine, looked after until its end."""

from __future__ import annotations

import datetime
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flows.command import ERROR_RESULT, words_of
from flows.console import say
from flows.environment import keep_state_in
from flows.local_services import ray_service, server_service, worker_service
from flows.options import Options
from flows.pages import Pages, served_pages
from flows.server import free_port, wait_until_healthy
from flows.services import MARK, Service, end_marked, watch
from storage.atomic import FileLock, write_json
from storage.errors import ConfigError, DubwrightError, LockHeld
from storage.layout import Root
from tasks.config import Config

DETACHED_PATIENCE_S = 1800.0
HERE = {"127.0.0.1", "localhost", "::1"}
LASTING = {
    # Slots that a run holds must survive a server that is started again, and be given back when the run is gone.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_WORKER_QUERY_SECONDS": "5",
    "PREFECT_CLIENT_MAX_RETRIES": "12",  # a server that is started again answers after some seconds
}


@dataclass(frozen=True)
class Wanted:
    """What `up` was asked. notify: see `flows.notifications`; None: ROOT/notifications.log."""

    port: int
    cron: str
    notify: str | None


def state_folder(root: Root) -> Path:
    """Where what runs on a root leaves its notes and logs."""
    return root.local / ".prefect"


def read_note(root: Root) -> dict[str, Any]:
    """What the `dubwright up` of this root wrote down about itself; {} where there is nothing."""
    try:
        note = json.loads((state_folder(root) / "up.json").read_text())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def lock_of(root: Root) -> FileLock:
    """Held by the `dubwright up` of a root as long as it lives; the kernel frees it, however that ends."""
    return FileLock(state_folder(root) / "up.lock", timeout_s=0)


def serve_here(options: Options, wanted: Wanted) -> tuple[dict[str, Any], str, int]:
    """Serve until interrupted. A server (PREFECT_API_URL) or cluster (`--ray`, RAY_ADDRESS) that is named is used.

    Raises:
        ConfigError: it is up on this root already, or a port is taken.
        DubwrightError: something does not come up, or does not stay up.
    """
    started = time.monotonic()
    config = options.config()
    root = Root(config.root).create()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    facts: dict[str, Any] = {}
    with alone_on(root), suppress(KeyboardInterrupt), ExitStack() as stack:
        facts = _bring_up(stack, root, config, options, wanted)
        services, worker = facts.pop("services"), facts.pop("worker")
        say(told(facts))
        say("serving until Ctrl-C, or `dubwright down`")
        watch(services, partial(_look_for_cut_off, worker) if facts.pop("owned") else None)
    seconds = round(time.monotonic() - started, 3)
    return {**ERROR_RESULT, "seconds": seconds, **facts}, "stopped", 0


def _look_for_cut_off(worker: Service) -> None:
    lasts = datetime.timedelta(seconds=time.monotonic() - worker.since)
    try:
        _close_cut_off(datetime.datetime.now(datetime.UTC) - lasts)
    except Exception as error:  # noqa: BLE001 - a server that is just being started again is asked once more
        say(f"could not look for runs that were cut off: {type(error).__name__}: {error}")


def _close_cut_off(worker_since: datetime.datetime) -> None:
    from flows.cut_off import close_cut_off

    for run in close_cut_off(worker_since):
        say(f"{run.name}: its process is gone, marked as crashed")


def told(facts: dict[str, Any]) -> str:
    """Where to look, for people."""
    names = {"prefect": "Prefect", "ray": "Ray", "nightly": "nightly", "reports": "reports", "told": "notifications",
             "logs": "logs"}  # fmt: skip
    return "\n".join(f"{label}: {facts[name]}" for name, label in names.items() if facts.get(name))


@contextmanager
def alone_on(root: Root) -> Iterator[None]:
    """Hold the root's lock, and clear away what an `up` that was killed left behind.

    Raises:
        ConfigError: another one is up.
    """
    state_folder(root).mkdir(parents=True, exist_ok=True)
    try:
        with lock_of(root):
            left = read_note(root)
            if left.get("token") and end_marked(left["token"]):
                say("ended what an earlier `dubwright up` had left")
            try:
                yield
            finally:
                (state_folder(root) / "up.json").unlink(missing_ok=True)
    except LockHeld:
        note = read_note(root)
        raise ConfigError(
            f"dubwright is up on {root} already: {note.get('url', 'it is starting')}", "end it with `dubwright down`"
        ) from None


def _bring_up(stack: ExitStack, root: Root, config: Config, options: Options, wanted: Wanted) -> dict[str, Any]:
    folder = state_folder(root)
    keep_state_in(root.local)
    token = secrets.token_hex(8)
    for name, value in LASTING.items():
        os.environ.setdefault(name, value)
    os.environ[MARK] = token  # whatever is started from here carries it
    os.environ.pop("DUBWRIGHT_NOTIFY", None)  # an address can be a key: it is no business of theirs
    note: dict[str, Any] = {"pid": os.getpid(), "token": token}
    write_json(folder / "up.json", note)
    stack.callback(end_marked, token)  # runs last: after everything was asked to end

    named, services = os.environ.get("PREFECT_API_URL"), []
    url = named or f"http://127.0.0.1:{wanted.port}/api"
    if named:
        wait_until_healthy(named)
    else:
        services.append(_begun(stack, server_service(wanted.port, folder)))
    os.environ["PREFECT_API_URL"] = url
    write_json(folder / "up.json", note := {**note, "url": url})
    address = config.runtime.ray or os.environ.get("RAY_ADDRESS")
    if not address:
        port = free_port()
        address = f"127.0.0.1:{port}"
        services.append(_begun(stack, ray_service(port, config, folder)))
        os.environ["RAY_ADDRESS"] = address
    pages = stack.enter_context(served_pages(root, wanted.port + 1))
    deployed, heard = _deploy(root, options, wanted, pages, url, owned=not named)
    services.append(worker := _begun(stack, worker_service(folder)))
    facts = {
        "prefect": url.removesuffix("/api"), "ray": address, "reports": pages.url, "told": heard, "logs": str(folder),
        "nightly": f"{wanted.cron} UTC, of {root.local / 'incoming'}", "deployments": deployed,
    }  # fmt: skip
    write_json(folder / "up.json", {**note, "facts": facts})
    return {**facts, "services": services, "worker": worker, "owned": not named}


def _begun(stack: ExitStack, service: Service) -> Service:
    stack.callback(service.end)
    service.begin()
    return service


def _deploy(
    root: Root, options: Options, wanted: Wanted, pages: Pages, url: str, owned: bool
) -> tuple[list[str], str | None]:
    """(deployments, who is told of failures); with a server of our own, runs that died with the last one are closed."""
    from flows.deployments import deploy
    from flows.notifications import notify_through

    (root.local / "incoming").mkdir(exist_ok=True)
    if owned:
        _close_cut_off(datetime.datetime.now(datetime.UTC))
    # The worker starts runs where the code lies, so that it is found whether or not the project is installed.
    where = {"working_dir": str(Path(__file__).resolve().parents[1]), "command": f"{sys.executable} -m prefect.engine"}
    deployed = deploy(options, cron=wanted.cron, job_variables=where)
    if wanted.notify:
        notify_through(wanted.notify)
        return deployed, "as --notify says"
    if urlsplit(url).hostname not in HERE:  # a server elsewhere cannot reach an ear on this machine
        return deployed, None
    notify_through(pages.ear)
    return deployed, str(pages.log)


def detach(options: Options, wanted: Wanted) -> tuple[dict[str, Any], str, int]:
    """The same in the background: returns as soon as all of it is up.

    Raises:
        ConfigError: it is up on this root already.
        DubwrightError: it did not come up.
    """
    started = time.monotonic()
    root = Root(options.config().root).create()
    with alone_on(root):
        pass
    log = state_folder(root) / "up.log"
    words = [sys.executable, "-m", "flows.cli", "up", "--port", str(wanted.port), "--cron", wanted.cron]
    environment = dict(os.environ)
    if wanted.notify:  # not on the command line, where everybody on the machine could read it
        environment["DUBWRIGHT_NOTIFY"] = wanted.notify
    begun = log.stat().st_size if log.is_file() else 0
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [*words, *words_of(options)], stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True,
            env=environment,
        )  # fmt: skip
    while time.monotonic() - started < DETACHED_PATIENCE_S and process.poll() is None:
        facts = read_note(root).get("facts")
        if facts:
            seconds = round(time.monotonic() - started, 3)
            return {**ERROR_RESULT, "seconds": seconds, **facts}, told(facts), 0
        time.sleep(0.2)
    process.terminate()
    said = log.read_bytes()[begun:].decode(errors="replace").strip().splitlines()
    raise DubwrightError(f"it did not come up: {said[-1] if said else 'it said nothing'}", f"see {log}")
