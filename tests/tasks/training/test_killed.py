"""A training process that is killed outright, at any moment, and started again."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from storage.atomic import FileLock
from storage.errors import LockHeld
from tasks.training import train_loop
from tasks.training.checkpoints import Checkpoints
from tasks.training.curve import curve_from, read_curve
from tests.conftest import PROJECT
from tests.tasks.training.run_apart import main

STEPS = 30


@pytest.fixture(scope="module")
def settings(tiny_models: dict[str, Path]) -> dict[str, Any]:
    """A run of 30 steps with a checkpoint at every fifth, for `tests.tasks.training.run_apart`."""
    return {
        "init": str(tiny_models["pipeline"]),
        "workers": 0,
        "config": {
            "audio.speech": str(tiny_models["speech"]), "model.size": 64, "train.checkpoint_every": 5,
            "train.device": "cpu",
        },
        "run": {"steps": STEPS, "precision": "fp32", "batch_size": 4, "warmup": 1},
    }  # fmt: skip


@pytest.fixture(scope="module")
def whole(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run when nobody disturbs it."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    main(str(out), json.dumps(settings))
    return out


def start(out: Path, settings: dict[str, Any]) -> subprocess.Popen[bytes]:
    """The run in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.tasks.training.run_apart", str(out), json.dumps(settings)],
        cwd=PROJECT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_for(process: subprocess.Popen[bytes], out: Path, step: int) -> None:
    """Till the curve has reached `step`."""
    while process.poll() is None and not any(entry["step"] >= step for entry in read_curve(out)[-1:]):
        time.sleep(0.002)


def kill_after(process: subprocess.Popen[bytes], out: Path, step: int) -> int:
    """SIGKILL once the curve has reached `step`; the last step that was noted."""
    wait_for(process, out, step)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return int(read_curve(out)[-1]["step"])


def finish(process: subprocess.Popen[bytes]) -> None:
    _, said = process.communicate(timeout=200)
    assert process.returncode == 0, said.decode()


def of(out: Path, *names: str) -> np.ndarray:
    return np.array([[entry[name] for name in names] for entry in read_curve(out)])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("workers", [0, 1])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    settings: dict[str, Any], whole: Path, tmp_path: Path, workers: int
) -> None:
    killed, given = tmp_path / "killed", settings | {"workers": workers}
    assert kill_after(start(killed, given), killed, 12) < STEPS
    assert Checkpoints(killed).last is not None
    assert not (killed / "model").exists()
    finish(start(killed, given))
    expected, found = (of(out, "step", "loss", "grad_norm") for out in (whole, killed))
    assert np.array_equal(expected[:, 0], np.arange(1, STEPS + 1))
    assert np.abs(expected - found).max() <= 1e-6
    weights = "model/unet/diffusion_pytorch_model.safetensors"
    assert (whole / weights).read_bytes() == (killed / weights).read_bytes()
    rows = (killed / "dvclive" / "plots" / "metrics" / "loss.tsv").read_text().splitlines()[1:]
    assert [int(row.split("\t")[0]) for row in rows] == list(range(1, STEPS + 1))


def test_two_runs_in_one_folder_are_one_too_many(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_loop, "LOCK_S", 0.1)
    with FileLock(tmp_path / "run" / ".lock"), pytest.raises(LockHeld, match="another process"):
        main(str(tmp_path / "run"), json.dumps(settings))
    assert read_curve(tmp_path / "run") == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_worker_of_ray_that_dies_is_replaced(settings: dict[str, Any], whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(out, settings | {"workers": 1})
    wait_for(process, out, 12)
    workers = [
        child for child in psutil.Process(process.pid).children(recursive=True) if "RayTrainWorker" in child.name()
        or "RayTrainWorker" in " ".join(child.cmdline())
    ]  # fmt: skip
    assert len(workers) == 1
    workers[0].kill()
    finish(process)
    expected, found = (of(folder, "step", "loss", "grad_norm") for folder in (whole, out))
    assert np.abs(expected - found).max() <= 1e-6


def test_only_whole_checkpoints_count(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.last is None and checkpoints.read() is None
    for step in (2, 4, 6):
        checkpoints.write(step, {"step": step, "weights": torch.ones(3)})
    partial = checkpoints.folder / ".step-00000008.host-1-abcdef.partial"
    partial.mkdir()
    (partial / "state.pt").write_bytes(b"half of it")
    assert [folder.name for folder in checkpoints.all()] == ["step-00000004", "step-00000006"]
    state = checkpoints.read()
    assert state is not None and state["step"] == 6


def test_a_checkpoint_that_the_disk_lost_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (2, 4):
        torn = checkpoints.write(step, {"step": step, "weights": torch.arange(1000)}) / "state.pt"
    for size in (0, 7, torn.stat().st_size // 2):
        os.truncate(torn, size)
        with caplog.at_level(logging.WARNING):
            state = checkpoints.read()
        assert state is not None and state["step"] == 2
        assert "step-00000004" in caplog.text


def test_what_dvclive_left_half_written_is_made_anew(tmp_path: Path) -> None:
    with curve_from(tmp_path, 0) as note:
        for step in (1, 2, 3):
            note({"step": step, "loss": 1 / step})
    (tmp_path / "dvclive" / "metrics.json").write_text('{"loss": 0.')
    with curve_from(tmp_path, 2) as note:
        note({"step": 3, "loss": 0.25})
    assert [entry["loss"] for entry in read_curve(tmp_path)] == [1, 0.5, 0.25]
    assert json.loads((tmp_path / "dvclive" / "metrics.json").read_text()) == {"step": 3, "loss": 0.25}
    lines = (tmp_path / "dvclive" / "plots" / "metrics" / "loss.tsv").read_text().split()
    assert lines == ["step", "loss", "1", "1.0", "2", "0.5", "3", "0.25"]
