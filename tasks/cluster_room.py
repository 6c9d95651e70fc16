"""Room for workers: what each kind takes of a node (`runtime.resources`), and how many the nodes can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import ray

from storage.errors import WorkersFailed
from tasks.cluster_nodes import living
from tasks.config import Config

Kind = Literal["preprocess", "read", "render"]
_COUNTED = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
"""Ray's word in a request → in its table of a node."""


def needs_of(config: Config, kind: Kind | Literal["train"], on_gpu: bool | None = None) -> dict[str, Any]:
    """What a worker asks Ray for, as its options.

    Args:
        on_gpu: False for work that is to be done on a CPU this time; None: as configured.
    """
    needs = getattr(config.runtime.resources, kind)
    gpus = 0.0 if on_gpu is False else config.runtime.gpus_of(kind)
    options: dict[str, Any] = {"num_cpus": needs.cpus, "num_gpus": gpus}
    if needs.memory_gb is not None:
        options["memory"] = int(needs.memory_gb * 1e9)
    if needs.custom:
        options["resources"] = dict(needs.custom)
    if needs.labels:
        options["label_selector"] = dict(needs.labels)
    return options


def workers_for(items: int, kind: Kind, needs: Mapping[str, Any], config: Config, spare: int = 0) -> int:
    """Workers for so many items: as configured (an autoscaler brings the nodes for them), else what the nodes hold now.

    Args:
        spare: CPUs of the cluster to leave to others.
    """
    told = getattr(config.runtime.resources, kind).workers or (0 if needs["num_gpus"] else config.runtime.actors)
    if told:
        return max(1, min(items, told))
    held = sum(_held(node, needs) for node in living())
    free = int((ray.cluster_resources().get("CPU", 1) - spare) / needs["num_cpus"])
    return max(1, min(items, held, free))


def await_room(needs: Mapping[str, Any], config: Config) -> None:
    """Return once some node can hold a worker, at once where one can when it is free.

    The wait is itself a request, so that an autoscaler brings a node.

    Raises:
        WorkersFailed: none came within `runtime.node_wait_s`.
    """
    if any(_held(node, needs) for node in living()):
        return
    asked = _nothing.options(**needs).remote()
    done, _ = ray.wait([asked], timeout=config.runtime.node_wait_s)
    if not done:
        ray.cancel(asked, force=True)
        raise no_room(needs, config)


def no_room(needs: Mapping[str, Any], config: Config) -> WorkersFailed:
    """The error that says so."""
    wanted = {name: value for name, value in needs.items() if value}
    there = {name: value for name, value in ray.cluster_resources().items() if name in ("CPU", "GPU", "memory")}
    return WorkersFailed(
        f"no node of the cluster could hold a worker with {wanted} within {config.runtime.node_wait_s:g} s "
        f"(all together have {there})",
        "ask for less under runtime.resources, or let the cluster grow",
    )


def has_gpus() -> bool:
    """Whether a node has one now."""
    return ray.is_initialized() and ray.cluster_resources().get("GPU", 0) > 0


def _held(node: Mapping[str, Any], needs: Mapping[str, Any]) -> int:
    """Workers that a node could hold if nobody else were there."""
    labels = node.get("Labels") or {}
    if not all(_matches(labels.get(name), wanted) for name, wanted in needs.get("label_selector", {}).items()):
        return 0
    asked = {_COUNTED[name]: needs.get(name, 0) for name in _COUNTED} | needs.get("resources", {})
    return min(
        (int(node["Resources"].get(name, 0) / amount + 1e-9) for name, amount in asked.items() if amount), default=0
    )


def _matches(label: str | None, wanted: str) -> bool:
    """By the grammar of Ray's label selectors: value, !value, in(a, b), !in(a, b)."""
    negated, wanted = wanted.startswith("!"), wanted.removeprefix("!")
    values = wanted.removeprefix("in(").removesuffix(")").split(",") if wanted.startswith("in(") else [wanted]
    return (label in [value.strip() for value in values]) != negated


@ray.remote(max_retries=0)
def _nothing() -> None:
    return None
