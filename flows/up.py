"""`dubwright up`: a lasting Prefect server and a Ray head on this machine, serving the deployments."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from flows.command import ERROR_RESULT
from flows.console import say
from flows.environment import keep_state_in
from flows.options import Options
from flows.server import die_with_parent, free_port, is_healthy, start_server, stop, wait_until_healthy
from storage.errors import ConfigError
from storage.layout import Root

RAY_PATIENCE_S = 60.0


def serve_here(options: Options, port: int, cron: str) -> tuple[dict[str, Any], str, int]:
    """Serve until interrupted. A server or a cluster that PREFECT_API_URL or RAY_ADDRESS names is used, not doubled."""
    started = time.monotonic()
    config = options.config()
    root = Root(config.root).create()
    url = address = None
    with suppress(KeyboardInterrupt), ExitStack() as services:
        url = services.enter_context(lasting_server(root, port))
        address = services.enter_context(ray_head(root))
        say(f"Prefect: {url.removesuffix('/api')}\nRay: {address}\nnightly: {cron} UTC, of {root.local / 'incoming'}")
        say("serving until Ctrl-C")
        serve_deployments(options, root, cron)
    seconds = round(time.monotonic() - started, 3)
    return {**ERROR_RESULT, "seconds": seconds, "prefect": url, "ray": address}, "stopped", 0


def serve_deployments(options: Options, root: Root, cron: str) -> None:
    """The deployments of prefect.yaml, run by this process; returns when it is interrupted."""
    from prefect import serve
    from prefect.deployments.runner import RunnerDeployment

    from flows.dub import dub
    from flows.nightly import nightly
    from flows.preprocess import preprocess
    from flows.train import train

    incoming = root.local / "incoming"
    incoming.mkdir(exist_ok=True)
    given = {"options": {"root": root.uri, "profile": options.profile, "face_pack": options.face_pack,
                         "settings": list(options.settings)}}  # fmt: skip
    night = {**given, "sources": [str(incoming)], "dataset": "nightly"}
    deployments = [
        preprocess.to_deployment("preprocess", parameters=given),
        train.to_deployment("train", parameters=given, concurrency_limit=1),
        dub.to_deployment("dub-library", parameters=given, concurrency_limit=1),
        nightly.to_deployment("nightly", parameters=night, cron=cron, concurrency_limit=1),
    ]
    try:
        # Outside an event loop these are deployments already; their type also covers coroutines.
        serve(*(entry for entry in deployments if isinstance(entry, RunnerDeployment)), print_starting_message=False)
    except KeyboardInterrupt:
        say("stopping")


@contextmanager
def lasting_server(root: Root, port: int) -> Iterator[str]:
    """A Prefect server with pages and scheduler; other commands on this root find it by ROOT/.prefect/up.json."""
    keep_state_in(root.local)
    named = os.environ.get("PREFECT_API_URL")
    if named:
        wait_until_healthy(named)
        yield named
        return
    url = f"http://127.0.0.1:{port}/api"
    if is_healthy(url):
        raise ConfigError(
            f"a Prefect server answers on port {port} already", "choose another --port, or set PREFECT_API_URL"
        )
    home = Path(os.environ["PREFECT_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    process = start_server(port, home / "server.log", ephemeral=False)
    note = home / "up.json"
    os.environ["PREFECT_API_URL"] = url
    try:
        wait_until_healthy(url, process)
        note.write_text(json.dumps({"url": url, "pid": os.getpid()}))
        yield url
    finally:
        note.unlink(missing_ok=True)
        os.environ.pop("PREFECT_API_URL", None)
        stop(process)


@contextmanager
def ray_head(root: Root) -> Iterator[str]:
    """A Ray head on this machine that the served flows join; its address is put into RAY_ADDRESS."""
    named = os.environ.get("RAY_ADDRESS")
    if named:
        yield named
        return
    program = shutil.which("ray", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if program is None:
        raise ConfigError("the `ray` program is not beside this Python", "install the project with make")
    address = f"127.0.0.1:{free_port()}"
    words = ["start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={address.rpartition(':')[2]}",
             "--include-dashboard=false", "--disable-usage-stats"]  # fmt: skip
    log = root.local / ".prefect" / "ray.log"
    with log.open("ab") as sink:
        head = subprocess.Popen(
            [program, *words], stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, preexec_fn=die_with_parent
        )
    try:
        _wait_for_ray(program, address, head, log)
        os.environ["RAY_ADDRESS"] = address
        yield address
    finally:
        os.environ.pop("RAY_ADDRESS", None)
        stop(head, 15)


def _wait_for_ray(program: str, address: str, head: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + RAY_PATIENCE_S
    while time.monotonic() < deadline and head.poll() is None:
        answer = subprocess.run([program, "status", "--address", address], capture_output=True, timeout=RAY_PATIENCE_S)
        if answer.returncode == 0:
            return
        time.sleep(0.5)
    raise ConfigError("the Ray head did not start", f"see {log}, or name a cluster in RAY_ADDRESS")
