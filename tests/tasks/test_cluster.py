"""Ray as it is started here, what workers ask of it, and how many there are."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from storage.errors import ConfigError, WorkersFailed
from storage.layout import Root
from tasks import cluster, cluster_room
from tasks.cluster_room import await_room, needs_of, workers_for
from tasks.config import load_config


@pytest.mark.slow
def test_workers_weigh_as_much_as_the_run_that_started_them(ray_session: None) -> None:
    niceness = ray.remote(num_cpus=0)(lambda: os.nice(0))
    assert ray.get(niceness.remote()) == os.nice(0)


def test_each_kind_of_worker_takes_what_is_configured() -> None:
    resources = {
        "preprocess": {"cpus": 2, "gpus": 0.25, "memory_gb": 4},
        "render": {"custom": {"nvenc": 1}, "labels": {"market": "!spot"}},
    }
    config = load_config(overrides={"runtime": {"resources": resources}})
    assert needs_of(config, "preprocess") == {"num_cpus": 2, "num_gpus": 0.25, "memory": 4_000_000_000}
    assert needs_of(config, "render") == {
        "num_cpus": 1, "num_gpus": 1, "resources": {"nvenc": 1}, "label_selector": {"market": "!spot"},
    }  # fmt: skip
    assert needs_of(config, "render", on_gpu=False)["num_gpus"] == 0
    assert needs_of(config, "read") == {"num_cpus": 1, "num_gpus": 0}
    shared = load_config(overrides={"runtime.gpus": 0.5})
    assert [needs_of(shared, kind)["num_gpus"] for kind in ("preprocess", "read", "render", "train")] == [
        0.5,
        0,
        0.5,
        1,
    ]


def table(*nodes: dict[str, Any]) -> Callable[[], list[dict[str, Any]]]:
    """Ray's table of living nodes: resources, and "labels"."""
    return lambda: [
        {"Resources": {name: value for name, value in node.items() if name != "labels"},
         "Labels": node.get("labels", {})}
        for node in nodes
    ]  # fmt: skip


def test_as_many_workers_as_the_nodes_hold_or_as_they_are_to_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config()
    nodes = table({"CPU": 3.0, "memory": 8e9}, {"CPU": 8.0, "GPU": 2.0, "memory": 64e9, "labels": {"market": "spot"}})
    monkeypatch.setattr(cluster_room, "living", nodes)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 11.0, "GPU": 2.0, "memory": 72e9})

    def count(kind: Any = "render", items: int = 99, **runtime: Any) -> int:
        chosen = config.with_({f"runtime.{name.replace('__', '.')}": value for name, value in runtime.items()})
        return workers_for(items, kind, needs_of(chosen, kind, on_gpu=kind == "render"), chosen, spare=1)

    assert count("preprocess") == 10
    assert count("preprocess", items=4) == 4
    assert count("preprocess", resources__preprocess__cpus=2) == 5  # 1 + 4, and of 10 CPUs
    assert count("preprocess", resources__preprocess__cpus=4) == 2  # none fits on the first
    assert count("preprocess", resources__preprocess__memory_gb=7) == 9  # 1 + 8
    assert count("preprocess", resources__preprocess__memory_gb=30) == 2
    assert count("preprocess", resources__preprocess__labels={"market": "!spot"}) == 3
    assert count("preprocess", resources__preprocess__labels={"market": "in(spot, reserved)"}) == 8
    assert count("render") == 2
    assert count("render", gpus=0.25) == 8
    # What is asked for stands, whatever is there: pending workers are what an autoscaler goes by.
    assert count("preprocess", actors=40) == 40
    assert count("preprocess", actors=40, resources__preprocess__workers=60) == 60
    assert count("render", actors=40) == 2
    assert count("render", resources__render__workers=16) == 16


def test_a_ray_client_is_refused_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"runtime\.ray.*not supported") as caught:
        load_config(overrides={"runtime.ray": "ray://head:10001"})
    assert caught.value.exit_code == 2
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(ConfigError, match=r"RAY_ADDRESS.*not supported"):
        cluster.start(load_config())


def test_the_option_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert cluster.address(load_config()) == "head:6379"
    assert cluster.address(load_config(overrides={"runtime.ray": "other:6379"})) == "other:6379"
    assert cluster.address(load_config(overrides={"runtime.ray": "local"})) is None
    monkeypatch.delenv("RAY_ADDRESS")
    assert cluster.address(load_config()) is None


def test_settings_mean_the_same_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cluster.settings(load_config(root="data"))["root"] == str(Root(tmp_path / "data").local)


@pytest.mark.slow
def test_a_worker_that_no_node_can_hold_is_not_waited_for_for_ever(ray_session: None) -> None:
    config = load_config(overrides={"runtime.node_wait_s": 0.5, "runtime.resources.preprocess.cpus": 512})
    with pytest.raises(WorkersFailed, match=r"no node.*512"):
        await_room(needs_of(config, "preprocess"), config)
