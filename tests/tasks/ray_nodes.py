"""A Ray cluster of separate nodes (raylets) on this machine, to be joined by `--ray`, and to be taken apart."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from ray._raylet import GcsClient

from flows.server import free_port
from tasks.loopback import SWITCH
from tests.conftest import PROJECT

PATIENCE_S = 120.0
SOON = {
    "RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "4",
    "RAY_health_check_initial_delay_ms": "500",
}  # fmt: skip
"""Environment of a head that misses a node after two seconds; Ray's own patience is about seventeen."""


def _answers(address: str) -> bool:
    host, _, port = address.partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


class Nodes:
    """Nodes of one CPU each, beside a head that has none: number 0, on which drivers run.

    Args:
        folder: for logs.
        count: nodes beside the head.
        environment: of them all, and of those that are added.
    """

    def __init__(self, folder: Path, count: int, **environment: str) -> None:
        self._log = (folder / "ray.log").open("ab")
        self.address = f"127.0.0.1:{free_port()}"
        self._environment = environment
        self._started: list[subprocess.Popen[bytes]] = []
        self.ids: list[str] = []
        self.add("--head", f"--port={self.address.rpartition(':')[2]}", "--include-dashboard=false", "--num-cpus=0")
        for _ in range(count):
            self.add()

    def add(self, *words: str, before: Sequence[str] = ()) -> None:
        """One more, which this waits for.

        Args:
            words: for `ray start`; of a node that joins none are needed.
            before: program and words that start it.
        """
        program = shutil.which("ray", path=str(Path(sys.executable).parent))
        assert program is not None
        joining = (f"--address={self.address}", "--num-cpus=1")
        started = subprocess.Popen(
            [*before, program, "start", "--block", "--node-ip-address=127.0.0.1",
             "--disable-usage-stats", "--object-store-memory=80000000", *(words or joining)],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, cwd=PROJECT, start_new_session=True,
            env={**os.environ, "RAY_AUTH_MODE": "disabled", SWITCH: "1", "RAY_worker_niceness": "0",
                 **self._environment},
        )  # fmt: skip
        self._started.append(started)
        deadline = time.monotonic() + PATIENCE_S
        while not (new := set(self.alive()) - set(self.ids)):
            assert started.poll() is None, "a node did not start"
            assert time.monotonic() < deadline, "a node does not come"
            time.sleep(0.2)
        self.ids += new

    def alive(self) -> list[str]:
        """Ids of the nodes that the head counts as alive."""
        if not _answers(self.address):
            return []
        table = GcsClient(address=self.address).get_all_node_info(timeout=5)
        return [node_id.hex() for node_id, node in table.items() if node.state == 0]

    def kill(self, number: int, sign: signal.Signals = signal.SIGKILL) -> None:
        """SIGKILL to the raylet of a node, whose workers are left to notice; SIGTERM to the node, which then drains."""
        started = psutil.Process(self._started[number].pid)
        for process in [started] if sign == signal.SIGTERM else started.children(recursive=True):
            if process == started or process.name() == "raylet":
                process.send_signal(sign)

    def wait_until_gone(self, number: int) -> None:
        """Till the head has missed a node."""
        deadline = time.monotonic() + PATIENCE_S
        while self.ids[number] in self.alive():
            assert time.monotonic() < deadline, "a node does not go"
            time.sleep(0.2)

    def stop(self) -> None:
        """All of them go."""
        for started in reversed(self._started):
            family = [psutil.Process(started.pid)] if started.poll() is None else []
            for process in [*family, *(child for one in family for child in one.children(recursive=True))]:
                process.kill()
            started.wait()
        self._log.close()
