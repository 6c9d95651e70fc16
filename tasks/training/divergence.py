"""When a training run is given up: its loss is no number any more, or has left the best it had far behind.

The rule, by name `max_loss_ratio`: the running mean of the loss (over about `loss_window` steps) is more than that many
times the least it has been. One bad batch does not do it: a step counts for at most twice the limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storage.errors import DubwrightError


class TrainingDiverged(DubwrightError):
    """A run was stopped because it got worse instead of better; the champion and the last good checkpoint stay.

    folder: of the run, with its curve.
    """

    error_type = "TrainingDiverged"
    stage = "train"
    folder = ""


class LossWatch:
    """Follows the losses of a run.

    Args:
        max_ratio: greatest running mean over the least so far; 0 stops only what is no number.
        window: steps of the running mean.
    """

    def __init__(self, max_ratio: float, window: int) -> None:
        self.max_ratio, self.window = max_ratio, window
        self.steps, self.total, self.weight = 0, 0.0, 0.0
        self.best = math.inf

    @property
    def mean(self) -> float:
        """Exponentially weighted mean of the losses so far, without a bias towards zero at the start."""
        return self.total / self.weight if self.weight else math.inf

    @property
    def calm(self) -> bool:
        """Is the mean nearer to the best (in ratio) than to the limit: is the present state a good one?"""
        return not self.max_ratio or self.mean <= math.sqrt(self.max_ratio) * self.best

    def see(self, metrics: Mapping[str, float]) -> str:
        """Take in a step's "loss" and "grad_norm"; returns what is wrong with the run, "" where nothing is."""
        loss = metrics["loss"]
        for name in ("loss", "grad_norm"):
            if not math.isfinite(metrics.get(name, 0.0)):
                return f"{name} is {metrics[name]}"
        limit = self.max_ratio * self.best if self.max_ratio else math.inf
        kept = 1 - 1 / self.window
        self.total = kept * self.total + (1 - kept) * min(loss, 2 * limit)
        self.weight = kept * self.weight + (1 - kept)
        self.steps += 1
        # A mean of few steps is unsure, so it counts as good only as it surely is.
        self.best = min(self.best, self.mean * (1 + 3 / math.sqrt(self.steps)))
        if self.mean <= limit:
            return ""
        return (
            f"the running mean of the loss is {self.mean:.4g}, more than {self.max_ratio:g} times the best so far "
            f"({self.best:.4g})"
        )

    def state_dict(self) -> dict[str, float]:
        """Plain numbers, for a checkpoint."""
        return {"steps": self.steps, "total": self.total, "weight": self.weight, "best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.steps, self.best = int(state["steps"]), float(state["best"])
        self.total, self.weight = float(state["total"]), float(state["weight"])


def diverged(wrong: str, metrics: Mapping[str, float], rate: float, out: str, last: Path | None) -> TrainingDiverged:
    """The error that ends a run.

    Args:
        wrong: what `LossWatch.see` said of the step with these metrics.
        rate: the peak learning rate that was asked for.
        out: folder of the run.
        last: folder of the last good checkpoint, None where there is none.
    """
    where = f"the last good checkpoint is {last}" if last else "there was no checkpoint yet"
    error = TrainingDiverged(
        f"training diverged at step {int(metrics['step'])}: {wrong}; loss {metrics['loss']:.4g}; {where}",
        f"lower the rate (--set train.learning_rate={rate / 10:.2g}) or look at the data; a loss that is meant to jump "
        "goes on from there with --set train.max_loss_ratio=0",
    )
    error.folder = out
    return error
