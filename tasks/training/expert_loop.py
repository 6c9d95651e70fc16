"""The loop that trains the small expert networks: a step or a time budget, one cosine schedule, averaged weights.

The diffusion stages go through Ray Train; these networks are minutes of one core, so a plain loop is the honest tool.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor, nn


@dataclass
class Budget:
    """How long to train: ``steps``, ``minutes`` of wall time, or whichever ends first; at least one must be given."""

    steps: int | None = None
    minutes: float | None = None
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise ValueError("a training budget needs steps or minutes")

    def progress(self, step: int) -> float:
        """0 at the start, 1 when the budget is spent."""
        by_steps = 0.0 if self.steps is None else step / max(self.steps, 1)
        by_time = 0.0 if self.minutes is None else (time.monotonic() - self.started) / (60 * max(self.minutes, 1e-6))
        return min(1.0, max(by_steps, by_time))


def learning_rate(progress: float, peak: float, warm_up: float = 0.04) -> float:
    """Linear rise over the first ``warm_up`` of the budget, then a cosine down to a hundredth of the peak."""
    if progress < warm_up:
        return peak * (0.05 + 0.95 * progress / warm_up)
    fall = (progress - warm_up) / (1 - warm_up)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fall)))


class AveragedWeights:
    """Exponential moving average of a module's floating state (weights and batch-norm statistics)."""

    def __init__(self, module: nn.Module, decay: float = 0.998) -> None:
        self.decay, self.updates = decay, 0
        self.state = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the module's weights as they are now."""
        self.updates += 1
        # A short run must not average its random start.
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - decay)
            else:
                self.state[name].copy_(value)


Net = TypeVar("Net", bound=nn.Module)


def placed(net: Net, device: str) -> Net:
    """``net`` on ``device`` with its kernels in channels-last order, in which CPUs and GPUs convolve fastest."""
    net.to(device)
    for parameter in net.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return net


Loss = Callable[[float], tuple[Tensor, dict[str, float]]]


def train_expert(
    net: nn.Module,
    loss_of_batch: Loss,
    budget: Budget,
    peak_rate: float = 2e-3,
    weight_decay: float = 0.02,
    also: nn.Module | None = None,
    report: Callable[[int, float, dict[str, float]], None] | None = None,
    report_every: int = 50,
) -> dict[str, float]:
    """Train ``net`` (and a throw-away ``also``, such as a classifier) in place and leave it with its averaged weights.

    ``loss_of_batch(progress)`` draws a batch and returns its loss and named parts; ``report(step, progress, parts)``
    is called every ``report_every`` steps with running means. Returns the last running means with "steps" and
    "seconds". Raises FloatingPointError if the loss stops being a number.
    """
    parameters = [*net.parameters(), *(also.parameters() if also is not None else ())]
    decayed = [p for p in parameters if p.ndim > 1]
    plain = [p for p in parameters if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}], lr=peak_rate
    )
    averaged = AveragedWeights(net)
    means: dict[str, float] = {}
    step = 0
    net.train()
    for progress in _spend(budget):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(progress, peak_rate)
        loss, parts = loss_of_batch(progress)
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"the loss became {loss.item()} at step {step}: lower the rate or look at the data"
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimiser.step()
        averaged.update(net)
        parts["loss"] = loss.item()
        for name, value in parts.items():
            means[name] = value if name not in means else 0.98 * means[name] + 0.02 * value
        step += 1
        if report is not None and step % report_every == 0:
            report(step, progress, dict(means))
    net.load_state_dict(averaged.state)
    net.eval()
    return {**means, "steps": float(step), "seconds": time.monotonic() - budget.started}


def _spend(budget: Budget) -> Iterator[float]:
    budget.started = time.monotonic()
    step = 0
    while (progress := budget.progress(step)) < 1.0 or step == 0:
        yield progress
        step += 1
