"""Ray on this machine alone: its servers listen on the loopback interface, not on every network.

Whoever reaches a Ray runs code on it. Ray takes "127.0.0.1" for a mistake and puts an address in its place that others
can reach, unless it is told that there is no cluster to build, as it is by default on desktops. It has one switch for
that, read when Ray is imported, and inherited by the processes that it starts.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from ray._private import ray_constants, services
from ray._private.utils import read_ray_address

HOST = "127.0.0.1"
SWITCH = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
_PATIENCE_S = 2.0
_ANSWER_S = 10.0


@contextmanager
def reachable_as(address: str | None) -> Iterator[None]:
    """Start Ray, or join the one at `address`, within the block: alone on this machine, or as a node among others.

    Args:
        address: HOST:PORT of the Ray to join, or "auto"; None starts one here, which nobody else can reach.
    """
    before = os.environ.get(SWITCH)
    # Joined, a process must go by the name that its node has: one that listens on loopback alone goes by that.
    ray_constants.ENABLE_RAY_CLUSTER = address is not None and not _only_here(address)
    os.environ[SWITCH] = str(int(ray_constants.ENABLE_RAY_CLUSTER))
    try:
        yield
    finally:
        os.environ.pop(SWITCH)
        if before is not None:
            os.environ[SWITCH] = before


def answers(address: str) -> bool:
    """Whether anybody takes connections there; of what is no HOST:PORT ("auto") only Ray can tell."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return True
    try:
        with socket.create_connection((host, int(port)), timeout=_ANSWER_S):
            return True
    except OSError:
        return False


def _only_here(address: str) -> bool:
    """Whether a Ray answers on loopback alone."""
    if address == "auto":  # the one that was started here last
        address = read_ray_address() or ""
    host, _, port = address.rpartition(":")
    if host not in (HOST, "localhost", "::1") or not port.isdigit():
        return False
    ray_constants.ENABLE_RAY_CLUSTER = True
    try:
        with socket.create_connection((services.get_node_ip_address(), int(port)), timeout=_PATIENCE_S):
            return False
    except OSError:
        return True
