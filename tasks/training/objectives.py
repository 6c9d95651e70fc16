"""The losses of the diffusion stages, on latents and on decoded frames."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.autoencoder import decode
from models.emotion import FaceEmotion
from models.losses import diffusion_loss, min_snr_weights, signal_to_noise
from tasks.training.batches import LatentBatch
from tasks.training.schedule import Draws, ImageRun

CLEAR = 0.1
"""Decoded frames are judged where at least so much of a sample's amplitude is signal: beyond, they are a mere mean."""


def denoising_loss(prediction: Tensor, scheduler: Any, batch: LatentBatch, draws: Draws, run: ImageRun) -> Tensor:
    """Squared error of the prediction [B,4,h,w] of what the scheduler predicts, weighted by min-SNR and by place."""
    noise, timesteps = draws.noise, draws.timesteps
    kind = scheduler.config.prediction_type
    targets = {"epsilon": noise, "sample": batch.latents}
    target = scheduler.get_velocity(batch.latents, noise, timesteps) if kind == "v_prediction" else targets[kind]
    weights = min_snr_weights(signal_to_noise(scheduler.alphas_cumprod, timesteps), kind, run.gamma)
    return diffusion_loss(prediction, target, _places(batch, run), weights)


def latent_loss(made: Tensor, batch: LatentBatch, run: ImageRun) -> Tensor:
    """Absolute error of latents [B,4,h,w] that are given without steps, weighted by place."""
    apart = (made.float() - batch.latents).abs()
    where = _places(batch, run).expand_as(apart)
    return ((apart * where).flatten(1).sum(1) / where.flatten(1).sum(1).clamp(min=1e-6)).mean()


def _places(batch: LatentBatch, run: ImageRun) -> Tensor:
    """What each place counts, [B,1,h,w]: the region, lips and eyes more, and nothing where the truth is not known."""
    inside = region_of(batch)
    return (inside * (1 + run.lip_weight * batch.lips + run.eye_weight * batch.eyes) + run.outside) * batch.own


def region_of(batch: LatentBatch) -> Tensor:
    """The region to generate at the size of the latents, [B,1,h,w] in 0..1."""
    return F.interpolate(batch.mask, size=batch.latents.shape[-2:], mode="area")


def clean_latents(prediction: Tensor, noisy: Tensor, scheduler: Any, timesteps: Tensor) -> Tensor:
    """The clean latents [B,4,h,w] that a prediction for `noisy` at `timesteps` [B] implies."""
    kept = scheduler.alphas_cumprod.to(noisy.device)[timesteps].float().reshape(-1, 1, 1, 1)
    signal, noise = kept.sqrt(), (1 - kept).sqrt()
    kind, prediction = scheduler.config.prediction_type, prediction.float()
    if kind == "v_prediction":
        return signal * noisy - noise * prediction
    return (noisy - noise * prediction) / signal.clamp(min=1e-3) if kind == "epsilon" else prediction


def clear_samples(scheduler: Any, timesteps: Tensor, most: int) -> Tensor:
    """Which samples (int64 [K], at most `most`) are clear enough for their decoded frames to be judged."""
    signal = scheduler.alphas_cumprod.to(timesteps.device)[timesteps].sqrt()
    return torch.nonzero(signal >= CLEAR)[:most, 0]


def decoded(vae: nn.Module, clean: Tensor, batch: LatentBatch, rows: Tensor) -> Tensor:
    """Frames float [K,3,S,S] in 0..1 of the clean latents of `rows`; what is not judged is the clip's own: all beyond
    the mask, and where a face stands in another's surroundings all but its middle.
    """
    inside = (region_of(batch) * batch.own)[rows]
    latents = clean[rows] * inside + batch.latents[rows] * (1 - inside)
    return (decode(vae, latents).float() + 1) / 2


def emotion_consistency(recogniser: FaceEmotion, frames: Tensor, emotion: Tensor, intensity: Tensor) -> Tensor:
    """How far what the recogniser reads in `frames` [K,3,S,S] is from `emotion` [K] at `intensity` [K], nats."""
    logits, level = recogniser(frames)
    return F.cross_entropy(logits.float(), emotion) + 0.1 * F.smooth_l1_loss(level.float(), intensity.float())
