"""The services of `dubwright up` on this machine: Prefect server, process worker, Ray head; none is heard elsewhere."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from flows.server import ending_with_parent, is_healthy, listens, start_server, wait_until_healthy
from flows.services import Service
from storage.errors import ConfigError
from tasks.config import Config

RAY_PATIENCE_S = 900.0


def server_service(port: int, folder: Path) -> Service:
    """The Prefect server, with its pages and its scheduler.

    Raises:
        ConfigError: a server answers on that port already.
    """
    url = f"http://127.0.0.1:{port}/api"
    if is_healthy(url):
        raise ConfigError(
            f"a Prefect server answers on port {port} already", "choose another --port, or set PREFECT_API_URL"
        )
    Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"

    def ready(process: subprocess.Popen[bytes]) -> None:
        wait_until_healthy(url, process)

    return Service("Prefect server", lambda: start_server(port, log, ephemeral=False), ready, log)


def worker_service(folder: Path) -> Service:
    """The process worker, which starts every run of a deployment in a process of its own."""
    from flows.deployments import POOL

    words = ["-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process", "--install-policy", "never",
             "--name", f"{socket.gethostname()}-{os.getpid()}"]  # fmt: skip
    log = folder / "worker.log"
    return Service("worker", lambda: _spawn([sys.executable, *words], log), lambda process: None, log, patience_s=20.0)


def ray_service(port: int, config: Config, folder: Path) -> Service:
    """A Ray head that the runs join, as wide as one that a run would start for itself."""
    program = shutil.which("ray", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if program is None:
        raise ConfigError("the `ray` program is not beside this Python", "install the project with make")
    address = f"127.0.0.1:{port}"
    # One CPU more than there are: to read rows takes a moment of one, which must not wait for a worker to give up its.
    cpus = config.runtime.num_cpus or len(os.sched_getaffinity(0)) + 1
    words = [program, "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={port}",
             f"--num-cpus={cpus}", f"--object-store-memory={config.runtime.object_store_mb << 20}",
             "--include-dashboard=false", "--disable-usage-stats"]  # fmt: skip
    log = folder / "ray.log"

    def ready(head: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + RAY_PATIENCE_S
        while time.monotonic() < deadline and head.poll() is None:
            # To ask costs seconds of a CPU that the head itself wants while it starts: first its port must be open.
            asked = [program, "status", "--address", address]
            if listens(port) and subprocess.run(asked, capture_output=True, timeout=RAY_PATIENCE_S).returncode == 0:
                return
            time.sleep(0.5)
        raise ConfigError("the Ray head did not start", f"see {log}, or name a cluster with --ray")

    return Service("Ray head", lambda: _spawn(words, log), ready, log, patience_s=15.0)


def _spawn(words: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as sink:
        return subprocess.Popen(ending_with_parent(words), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
