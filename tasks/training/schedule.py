"""Settings of the diffusion stages, and what chance decides for each sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

CONDITIONS = ("audio", "identity", "emotion", "action_units")
"""What can be left out of a sample, in the order of `Draws.keep`."""


@dataclass(frozen=True)
class ImageRun:
    """Settings of a run.

    steps: length of the schedule; final_rate: share of the peak rate at its end; gamma: min-SNR; lip_weight: extra
    weight of the lips; outside: weight of what is pasted over anyway; drop: chance of leaving out sound and identity,
    drop_emotion and drop_action_units: of these (action units tell all of the expression, so they are there seldom);
    whole_face: share of the samples that repaint the whole face and not its lower part; exchange: share of those whose
    surroundings are another person's; eye_weight: extra weight of brows and eyes, where they are repainted;
    noise_bias: timesteps are T u^noise_bias, below 1 means more of the noisy ones, where the mouth is laid out;
    terminal: share of samples at the very last timestep, which every sampling begins with; branch_rate: the rate of all
    but the U-Nets, as a factor; emotion_weight: of the emotion-consistency loss, taken on `emotion_samples` decoded
    frames of a batch; window: frames that belong together (1: single frames); recompute: activations are computed anew
    in the backward pass, which takes less memory and more time.

    Of the stage `video`: perceptual_weight, temporal_weight and sync_weight of its losses; sync_expert: the pack or
    folder of the sync expert of that loss, "" for none (one that took no part in training has to be left to judge).
    Of the stage `distil`: teacher_steps that the teacher would take, guidance and guidance_emotion that it follows the
    sound and the emotion with (the student needs no guidance then), and target_decay of the average that the student is
    compared with.
    Of the stage `adapt`: lora_rank (0: the base stays as it is) and lora_alpha of the adapters, lora_targets (the last
    parts of the names of the layers that get one), and lora_rate: their rate, as a factor.
    """

    steps: int = 2000
    batch_size: int = 16
    rate: float = 1e-4
    warmup: int = 50
    final_rate: float = 0.05
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    ema_decay: float = 0.999
    gamma: float = 5.0
    lip_weight: float = 4.0
    outside: float = 0.05
    drop: float = 0.08
    drop_emotion: float = 0.15
    drop_action_units: float = 0.7
    whole_face: float = 0.4
    exchange: float = 0.0
    eye_weight: float = 0.0
    noise_bias: float = 0.7
    terminal: float = 0.08
    branch_rate: float = 1.0
    emotion_weight: float = 0.0
    emotion_samples: int = 4
    window: int = 1
    recompute: bool = False
    perceptual_weight: float = 0.1
    temporal_weight: float = 0.02
    sync_weight: float = 0.05
    sync_expert: str = ""
    teacher_steps: int = 20
    guidance: float = 1.5
    guidance_emotion: float = 1.0
    target_decay: float = 0.95
    lora_rank: int = 16
    lora_alpha: int = 16
    lora_targets: Sequence[str] = ("to_q", "to_k", "to_v", "to_out.0")
    lora_rate: float = 10.0
    precision: str = "bf16"
    seed: int = 0

    def learning_rate(self, step: int) -> float:
        """Linear rise over `warmup` steps, then a cosine down to `final_rate` of the peak at `steps`."""
        if step < self.warmup:
            return self.rate * (step + 1) / (self.warmup + 1)
        done = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        return self.rate * (self.final_rate + (1 - self.final_rate) * 0.5 * (1 + math.cos(math.pi * done)))


@dataclass
class Draws:
    """What chance decided for B samples.

    noise float32 [B,4,h,w]; timesteps int64 [B]; keep float32 [4,B], 1 where each of CONDITIONS is kept.
    """

    noise: Tensor
    timesteps: Tensor
    keep: Tensor

    def to(self, device: torch.device | str) -> Draws:
        """The same on another device."""
        return Draws(self.noise.to(device), self.timesteps.to(device), self.keep.to(device))

    def of_windows(self, window: int) -> Draws:
        """The same for every frame of windows of so many: they are rendered from one noise, too."""
        noise, timesteps = (value.repeat_interleave(window, 0) for value in (self.noise, self.timesteps))
        return Draws(noise, timesteps, self.keep.repeat_interleave(window, 1))


def draw(rngs: Sequence[np.random.Generator], shape: tuple[int, ...], total: int, run: ImageRun) -> Draws:
    """One sample from each generator: noise of `shape`, a timestep in [0, total), what is left out; see `ImageRun`."""
    noise, timesteps, keep = [], [], []
    limits = (run.drop, run.drop, run.drop_emotion, run.drop_action_units)
    for rng in rngs:
        noise.append(rng.standard_normal(shape, dtype=np.float32))
        biased, last, *chances = rng.random(2 + len(CONDITIONS))
        timesteps.append(total - 1 if last < run.terminal else min(int(biased**run.noise_bias * total), total - 1))
        keep.append([chance >= limit for chance, limit in zip(chances, limits, strict=True)])
    kept = torch.tensor(keep, dtype=torch.float32).T.contiguous()
    return Draws(torch.from_numpy(np.stack(noise)), torch.tensor(timesteps), kept)
