"""A run that gets worse instead of better is stopped, says why, and takes nothing with it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.config import Config
from tasks.training.checkpoints import Checkpoints
from tasks.training.curve import read_curve
from tasks.training.divergence import LossWatch, TrainingDiverged
from tasks.training.ray_fit import fit

Rows = list[dict[str, Any]]


def first_complaint(losses: np.ndarray, max_ratio: float = 4.0, window: int = 50) -> int | None:
    """Index of the step at which a run with these losses is stopped."""
    watch = LossWatch(max_ratio, window)
    return next((i for i, loss in enumerate(losses) if watch.see({"loss": float(loss), "grad_norm": 1.0})), None)


def noisy(count: int, level: float, seed: int = 0) -> np.ndarray:
    """Losses as very small batches give them: one in seven is three times the usual, or a third of it."""
    return level * np.random.default_rng(seed).lognormal(0.0, 1.0, count)


@pytest.mark.parametrize("seed", range(20))
def test_a_run_that_learns_is_left_alone(seed: int) -> None:
    falling = noisy(2000, 1.0, seed) * np.geomspace(1.0, 0.3, 2000)
    assert first_complaint(falling) is None
    assert first_complaint(noisy(2000, 0.1, seed)) is None


def test_one_bad_batch_is_forgiven() -> None:
    losses = noisy(200, 0.1)
    losses[100] = 1e6
    assert first_complaint(losses) is None


def test_a_loss_that_leaves_its_best_behind_stops_the_run() -> None:
    stopped = first_complaint(np.concatenate([noisy(500, 0.1), noisy(500, 1.0, 1)]))
    assert stopped is not None and 500 < stopped < 550
    assert first_complaint(np.concatenate([noisy(500, 0.1), noisy(500, 1.0, 1)]), max_ratio=0) is None


def test_an_explosion_in_the_first_steps_is_seen_too() -> None:
    stopped = first_complaint(np.concatenate([[0.8, 0.7], np.full(50, 1e9)]))
    assert stopped is not None and stopped < 15


@pytest.mark.parametrize("name", ["loss", "grad_norm"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_stops_at_once(name: str, value: float) -> None:
    watch = LossWatch(0, 20)
    assert watch.see({"loss": 1.0, "grad_norm": 1.0}) == ""
    assert watch.see({"loss": 1.0, "grad_norm": 1.0} | {name: value}).startswith(name)


def test_a_resumed_watch_goes_on_where_it_was() -> None:
    losses, whole, first, second = noisy(100, 0.1), LossWatch(4, 20), LossWatch(4, 20), LossWatch(4, 20)
    for loss in losses:
        whole.see({"loss": loss})
    for loss in losses[:40]:
        first.see({"loss": loss})
    second.load_state_dict(first.state_dict())
    for loss in losses[40:]:
        second.see({"loss": loss})
    assert second.state_dict() == whole.state_dict()


def test_a_run_at_an_absurd_rate_is_stopped_and_its_last_good_checkpoint_stays(
    tiny_config: Config, tiny_models: dict[str, Path], rows: Rows, tmp_path: Path
) -> None:
    absurd = {"steps": 200, "rate": 3.0, "warmup": 40}
    with pytest.raises(TrainingDiverged) as caught:
        fit("image", tiny_config, rows, tiny_models["pipeline"], tmp_path, overrides=absurd)
    last = Checkpoints(tmp_path).last
    assert last is not None and str(last) in caught.value.message
    assert "train.learning_rate=0.3" in caught.value.remedy
    curve = read_curve(tmp_path)
    assert f"step {curve[-1]['step']}:" in caught.value.message
    assert not (tmp_path / "model").exists()
    state = Checkpoints(tmp_path).read()
    assert state is not None and state["step"] < curve[-1]["step"] < 200
    assert all(np.isfinite(value.numpy()).all() for value in state["denoiser"].values())
    assert state["watch"]["total"] / state["watch"]["weight"] < 2 * state["watch"]["best"]


def test_what_was_in_doubt_neither_pushes_out_the_good_nor_outlives_the_run(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.last_good is None
    for step, good in ((2, True), (4, True), (6, False), (8, False), (10, False)):
        checkpoints.write(step, {"step": step}, good=good)
    assert [folder.name[-2:] for folder in checkpoints.all()] == ["04", "08", "10"]
    state = checkpoints.read()
    assert state is not None and state["step"] == 10, "a run that is killed goes on from the newest"
    assert checkpoints.back_to_good() == checkpoints.last == checkpoints.last_good
    state = checkpoints.read()
    assert state is not None and state["step"] == 4
