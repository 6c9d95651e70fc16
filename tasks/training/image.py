"""Stage "image": the denoiser on single frames, with all its conditions. One plain step, used with and without Ray.

Everything that is random in a sample (which frame, noise, timestep, what is left out) is drawn from the seed, the
step's number and the sample's place in the batch of all workers. So the place in the data is the step's number, a
resumed run goes on exactly, and the same batch gives the same step however many workers share it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist

from models.denoiser import Conditions, Denoiser, build_ema, visual_channels
from models.losses import diffusion_loss, min_snr_weights, signal_to_noise
from models.pipeline import DubPipeline, fast_dtype
from tasks.masks import dub_mask
from tasks.training.latents import LatentBatch, sample_batch


@dataclass(frozen=True)
class ImageRun:
    """Settings of the stage.

    steps: length of the schedule; final_rate: share of the peak rate at its end; gamma: min-SNR; lip_weight: extra
    weight of the lips; outside: weight of what is pasted over anyway; drop: chance of leaving out each condition;
    noise_bias: timesteps are T u^noise_bias, below 1 means more of the noisy ones, where the mouth is laid out;
    terminal: share of samples at the very last timestep, which every sampling begins with.
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
    noise_bias: float = 0.7
    terminal: float = 0.08
    precision: str = "bf16"
    seed: int = 0

    def learning_rate(self, step: int) -> float:
        """Linear rise over `warmup` steps, then a cosine down to `final_rate` of the peak at `steps`."""
        if step < self.warmup:
            return self.rate * (step + 1) / (self.warmup + 1)
        done = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        return self.rate * (self.final_rate + (1 - self.final_rate) * 0.5 * (1 + math.cos(math.pi * done)))


class ImageTraining:
    """The state of a run: weights, their average, optimiser, step.

    Args:
        pipeline: the model to train; its weights change in place. The autoencoder and speech encoder stay as they are.
        files: latents, see `tasks.training.latents`.
        run: settings.
        device: where to train.
        network: the module whose forward is called, where it is not the bare denoiser (DDP's wrapper round it).
        rank: this worker's number; worker r takes samples r x batch_size and on of the batch of all workers.
    """

    def __init__(
        self,
        pipeline: DubPipeline,
        files: Sequence[Path],
        run: ImageRun,
        device: str | torch.device = "cpu",
        rank: int = 0,
    ) -> None:
        if not files:
            raise ValueError("no latents to train on")
        self.pipeline, self.files, self.run, self.rank = pipeline, list(files), run, rank
        self.device = torch.device(device)
        self.denoiser: Denoiser = pipeline.denoiser.to(self.device).train()
        self.network: nn.Module = self.denoiser
        self.ema = build_ema(self.denoiser, run.ema_decay)
        self.optimizer = torch.optim.AdamW(
            self.denoiser.parameters(), lr=run.rate, betas=(0.9, 0.99), weight_decay=run.weight_decay, fused=True
        )
        self.step = 0
        self._mask = torch.from_numpy(dub_mask(pipeline.config.crop_size))[None, None].to(self.device)
        self._dtype = fast_dtype(self.device) if run.precision == "bf16" else torch.float32

    def batch(self) -> tuple[LatentBatch, Draws]:
        """This worker's samples of the present step and their chances; always the same for the same step."""
        first = self.rank * self.run.batch_size
        places = range(first, first + self.run.batch_size)
        rngs = [np.random.default_rng([self.run.seed, self.step, place]) for place in places]
        batch = sample_batch(self.files, rngs, self.pipeline.config.audio_context)
        steps = self.pipeline.scheduler.config.num_train_timesteps
        draws = draw(rngs, tuple(batch.latents.shape[1:]), steps, self.run)
        return batch.to(self.device), draws.to(self.device)

    def train_step(self) -> dict[str, float]:
        """One optimiser step: {"step", "loss", "grad_norm", "learning_rate"}."""
        rate = self.run.learning_rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch, draws = self.batch()
        loss = denoising_loss(
            self.network, self.pipeline.scheduler, batch, self._mask, self.run, draws, self._dtype
        )
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.denoiser.parameters(), self.run.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.step(self.denoiser.parameters())
        self.step += 1
        mean = _over_workers(loss.detach())
        return {"step": self.step, "loss": mean, "grad_norm": float(norm), "learning_rate": rate}

    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed run needs to go on as if it had not stopped; plain tensors and numbers."""
        return {
            "step": self.step,
            "denoiser": self.denoiser.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "run": asdict(self.run),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.step = int(state["step"])
        self.denoiser.load_state_dict(state["denoiser"])
        self.ema.load_state_dict(state["ema"])
        self.ema.to(self.device)
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["torch_rng"])

    def save_pipeline(self, folder: str | Path, dtype: torch.dtype = torch.float16) -> None:
        """Write the pipeline with the averaged weights (safetensors); the training weights stay untouched."""
        self.ema.store(self.denoiser.parameters())
        self.ema.copy_to(self.denoiser.parameters())
        try:
            parts = {name: copy.deepcopy(part) for name, part in self.pipeline.components.items()}
        finally:
            self.ema.restore(self.denoiser.parameters())
        for part in parts.values():
            if isinstance(part, nn.Module):
                part.to("cpu", dtype).eval()
        type(self.pipeline)(**parts, **self.pipeline.settings).save_pretrained(str(folder))


def _over_workers(loss: Tensor) -> float:
    """The mean of a loss over all workers: that of the whole batch."""
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        loss = loss.clone()
        dist.all_reduce(loss)
        loss /= dist.get_world_size()
    return float(loss)


@dataclass
class Draws:
    """What chance decided for B samples.

    noise float32 [B,4,h,w]; timesteps int64 [B]; keep float32 [2,B], 1 where the sound, the identity is kept.
    """

    noise: Tensor
    timesteps: Tensor
    keep: Tensor

    def to(self, device: torch.device | str) -> Draws:
        """The same on another device."""
        return Draws(self.noise.to(device), self.timesteps.to(device), self.keep.to(device))


def draw(rngs: Sequence[np.random.Generator], shape: tuple[int, ...], total: int, run: ImageRun) -> Draws:
    """One sample from each generator: noise of `shape`, a timestep in [0, total), what is left out; see `ImageRun`."""
    noise, timesteps, keep = [], [], []
    for rng in rngs:
        noise.append(rng.standard_normal(shape, dtype=np.float32))
        biased, last, *chances = rng.random(4)
        timesteps.append(total - 1 if last < run.terminal else min(int(biased**run.noise_bias * total), total - 1))
        keep.append([chance >= run.drop for chance in chances])
    kept = torch.tensor(keep, dtype=torch.float32).T.contiguous()
    return Draws(torch.from_numpy(np.stack(noise)), torch.tensor(timesteps), kept)


def denoising_loss(
    network: nn.Module,
    scheduler: Any,
    batch: LatentBatch,
    mask: Tensor,
    run: ImageRun,
    draws: Draws,
    dtype: torch.dtype,
) -> Tensor:
    """The loss of one batch: noise its latents, predict, compare.

    Args:
        network: a `Denoiser`, or a wrapper with its forward.
        scheduler: gives the noise levels and what is predicted (`prediction_type`).
        mask: [1,1,S,S] the repainted region.
    """
    device = batch.latents.device
    noise, timesteps, keep = draws.noise, draws.timesteps, draws.keep
    noisy = scheduler.add_noise(batch.latents, noise, timesteps)
    kind = scheduler.config.prediction_type
    targets = {"epsilon": noise, "sample": batch.latents}
    target = scheduler.get_velocity(batch.latents, noise, timesteps) if kind == "v_prediction" else targets[kind]
    visual = visual_channels(mask, batch.masked, batch.reference)
    conditions = Conditions(
        visual, mask, batch.audio_tokens, batch.identity, keep_audio=keep[0], keep_identity=keep[1] * batch.has_identity
    )
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        prediction = network(noisy, timesteps, conditions)
    inside = visual[:, :1]
    where = inside * (1 + run.lip_weight * batch.lips) + run.outside
    weights = min_snr_weights(signal_to_noise(scheduler.alphas_cumprod, timesteps), kind, run.gamma)
    return diffusion_loss(prediction, target, where, weights)
