"""Clusters are sized from the measured rates, and the manifests keep to it."""

from __future__ import annotations

import math

import pytest
import yaml

from tasks.config import Config, load_config
from tasks.dub_rates import shipped_dub_rates
from tasks.estimate_rates import shipped_rates
from tasks.sizing import BUSY, Load, dub_cost, preprocess_cost, size
from tests.conftest import PROJECT

CLUSTER = yaml.safe_load((PROJECT / "infra" / "kuberay" / "raycluster.yaml").read_text())
GROUPS = {group["groupName"]: group for group in CLUSTER["spec"]["workerGroupSpecs"]}
UNITS = {"G": 1e9, "M": 1e6, "Gi": 2.0**30, "Mi": 2.0**20}


@pytest.fixture
def config() -> Config:
    return load_config()


def amount(text: str) -> float:
    """A quantity of Kubernetes' in bytes."""
    number = text.rstrip("GMi")
    return float(number) * UNITS[text[len(number) :]]


def test_the_cluster_is_sized_for_the_load_that_it_names(config: Config) -> None:
    said = CLUSTER["metadata"]["annotations"]
    load = Load(*(float(said[f"dubwright/{name}-hours"]) for name in ("footage", "dub", "window")))
    group = GROUPS["cpu"]
    node_cpus = int(group["rayStartParams"]["num-cpus"])
    wanted = size(load, config, node_cpus)
    resources = group["template"]["spec"]["containers"][0]["resources"]
    assert group["maxReplicas"] == wanted.nodes
    assert int(resources["requests"]["cpu"]) == node_cpus
    assert amount(resources["requests"]["memory"]) == amount(resources["limits"]["memory"]) == wanted.memory_gb * 1e9


def test_a_load_costs_what_its_rates_say(config: Config) -> None:
    rates = shipped_rates()
    tiny = Load(1.0, 0.0, 1.0, pixels=rates.pixels)
    whole = sum(rate.cpu_seconds for rate in rates.steps.values())
    assert preprocess_cost(rates, rates.pixels) == pytest.approx(whole)
    assert size(tiny, config).preprocess_cpu_h == pytest.approx(whole, abs=0.01)
    assert size(tiny, config).cpus == math.ceil(whole / BUSY)
    load = Load(0.0, 10.0, 5.0)
    cost = dub_cost(shipped_dub_rates(), config, load)
    assert size(load, config).dub_cpu_h == pytest.approx(10 * cost, abs=0.01)


def test_more_work_less_time_and_larger_frames_take_more(config: Config) -> None:
    base = size(Load(100, 100, 10), config)
    assert size(Load(200, 200, 10), config).cpus == pytest.approx(2 * base.cpus, abs=1)
    assert size(Load(100, 100, 5), config).cpus == pytest.approx(2 * base.cpus, abs=1)
    assert size(Load(100, 100, 10, pixels=1920 * 1080), config).cpus > base.cpus
    assert size(Load(100, 100, 10), config, node_cpus=16).nodes == math.ceil(base.cpus / 16)
    assert size(Load(0, 0, 10), config).nodes == 0
