"""Two workers of a training on nodes of their own, which are taken away: one with notice, one without."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.training.checkpoints import Checkpoints
from tasks.training.curve import read_curve
from tests.tasks.ray_nodes import SOON, Nodes
from tests.tasks.training.run_apart import main
from tests.tasks.training.test_killed import finish, of, start, wait_for

STEPS = 300
NOTICE_S = "900"


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """Two, of which Ray misses one that dies after two seconds."""
    found = Nodes(tmp_path, 2, **SOON, RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=NOTICE_S)
    yield found
    found.stop()


def wait_for_fresh(process: subprocess.Popen[bytes], out: Path, step: int) -> None:
    """Till a run that went back to `step` has gone some steps on."""
    before = read_curve(out)
    while process.poll() is None and len(read_curve(out)) >= len(before) > 0 and read_curve(out)[-1]["step"] > step:
        time.sleep(0.01)  # the curve is cut off at the checkpoint as the run is taken up
    wait_for(process, out, step + 10)


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.skipif(os.environ.get("DUBWRIGHT_NODES") != "3", reason="takes long: DUBWRIGHT_NODES=3")
def test_a_training_outlives_the_nodes_it_runs_on(tiny_models: dict[str, Path], nodes: Nodes, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "init": str(tiny_models["pipeline"]), "workers": 0,
        "config": {
            "audio.speech": str(tiny_models["speech"]), "model.size": 64, "train.checkpoint_every": 1000,
            "train.device": "cpu", "train.samples_every": 0,
        },
        "run": {"steps": STEPS, "precision": "fp32", "batch_size": 4, "warmup": 1},
    }  # fmt: skip
    whole, out = tmp_path / "whole", tmp_path / "run"
    main(str(whole), json.dumps(settings))

    shared = settings | {"workers": 2, "run": settings["run"] | {"batch_size": 2}}
    shared["config"] |= {"runtime.ray": nodes.address}
    process = start(out, shared)
    wait_for(process, out, 20)
    nodes.kill(2, signal.SIGTERM)  # a notice that it will be taken back
    while process.poll() is None and Checkpoints(out).last is None:
        time.sleep(0.05)
    kept = Checkpoints(out).last
    assert kept is not None
    reached = int(kept.name.removeprefix("step-"))
    assert 20 <= reached < STEPS
    nodes.kill(2)  # now it is
    nodes.wait_until_gone(2)
    nodes.add()  # in its place
    wait_for_fresh(process, out, reached)
    nodes.kill(1)  # and one without a word: back to that checkpoint
    nodes.add()
    finish(process)
    expected, found = (of(folder, "step", "loss") for folder in (whole, out))
    assert np.array_equal(expected[:, 0], found[:, 0])
    assert np.abs(expected - found).max() < 1e-3
    assert {path.name for path in Checkpoints(out).all()} == {kept.name, f"step-{STEPS:08d}"}
