"""Stage "distil": a student that needs few steps, by latent consistency distillation (Luo et al. 2023,
arXiv:2310.04378).

On the steps of a long sampler the teacher, following sound and emotion with guidance, goes from one timestep to the
next lower one; the student must see the same clean latents from both. So one evaluation says what many would have led
to. Where the sampler ends, the student learns the teacher's own clean latents.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.denoiser import Denoiser
from models.sampling import Guidance
from tasks.training.batches import LatentBatch
from tasks.training.image import ImageTraining
from tasks.training.objectives import clean_latents, region_of
from tasks.training.schedule import Draws

HUBER = 0.03
"""Where the loss turns from squared to linear (the pseudo-Huber of consistency models, per element)."""


class DistilTraining(ImageTraining):
    """`ImageTraining` whose loss is consistency with the pipeline as it was at the start of the stage."""

    def _begin(self) -> None:
        self.teacher: Denoiser = _frozen(self.denoiser)
        self.target: Denoiser = _frozen(self.denoiser)
        scheduler = copy.deepcopy(self.pipeline.scheduler)
        scheduler.set_timesteps(self.run.teacher_steps)
        self._grid: Tensor = scheduler.timesteps.to(self.device)  # falling

    def train_step(self) -> dict[str, float]:
        """As `ImageTraining.train_step`; the target follows."""
        metrics = super().train_step()
        with torch.no_grad():
            for kept, weight in zip(self.target.parameters(), self.denoiser.parameters(), strict=True):
                kept.lerp_(weight, 1 - self.run.target_decay)
        return metrics

    def losses(self, batch: LatentBatch, draws: Draws, texts: Tensor | None) -> tuple[Tensor, dict[str, float]]:
        """How far apart the clean latents are that the student sees from neighbouring timesteps of the teacher."""
        scheduler, run = self.pipeline.scheduler, self.run
        total, steps = scheduler.config.num_train_timesteps, len(self._grid)
        place = ((total - 1 - draws.timesteps) * steps // total).clamp(max=steps - 1)
        here = self._grid[place]
        below = torch.where(place + 1 < steps, self._grid[(place + 1).clamp(max=steps - 1)], -1)
        noisy = scheduler.add_noise(batch.latents, draws.noise, here)
        # a student is used with all that is given, so nothing but the emotion and the action units is left out
        keep = draws.keep.clone()
        keep[:2] = 1
        conditions = self.conditions(batch, replace(draws, keep=keep), texts)
        with torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32):
            seen = clean_latents(self.network(noisy, here, conditions), noisy, scheduler, here)
            with torch.no_grad():
                scales = {"audio": run.guidance, "emotion": run.guidance_emotion}
                guided = Guidance(self.teacher, conditions, scales).predict(noisy, here)
                taught = clean_latents(guided, noisy, scheduler, here)
                lower = _step_down(scheduler, taught, noisy, here, below)
                at = below.clamp(min=0)
                wanted = clean_latents(self.target(lower, at, conditions), lower, scheduler, at)
                wanted = torch.where((below < 0).reshape(-1, 1, 1, 1), taught, wanted)
        inside = region_of(batch)
        where = (inside * (1 + run.lip_weight * batch.lips) + run.outside).expand_as(seen)
        apart = F.huber_loss(seen.float(), wanted.float(), reduction="none", delta=HUBER) / HUBER
        return (apart * where).sum() / where.sum(), {}

    def state_dict(self) -> dict[str, Any]:
        """With the target; the teacher is where the stage began."""
        return super().state_dict() | {"target": self.target.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        super().load_state_dict(state)
        self.target.load_state_dict(state["target"])


def _frozen(denoiser: Denoiser) -> Denoiser:
    kept = copy.deepcopy(denoiser)
    return kept.requires_grad_(False).eval()


def _step_down(scheduler: Any, clean: Tensor, noisy: Tensor, here: Tensor, below: Tensor) -> Tensor:
    """The DDIM step from timesteps `here` [B] to `below` [B] towards `clean` [B,4,h,w]."""
    levels = scheduler.alphas_cumprod.to(noisy.device)
    now = levels[here].float().reshape(-1, 1, 1, 1)
    then = levels[below.clamp(min=0)].float().reshape(-1, 1, 1, 1)
    noise = (noisy - now.sqrt() * clean) / (1 - now).sqrt().clamp(min=1e-4)
    return then.sqrt() * clean + (1 - then).sqrt() * noise
