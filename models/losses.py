"""What training minimises. All losses are means over the batch, computed in float32."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of `values` [B,C,H,W] with `weight` [B,1,H,W]; each sample counts the same, whatever its weights sum to."""
    weight = weight.expand_as(values)
    return ((values * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp(min=1e-6)).mean()


def reconstruction_loss(images: Tensor, target: Tensor, weight: Tensor, scales: int = 3) -> tuple[Tensor, Tensor]:
    """L1, and L1 of the gradients at several scales: edges are what the eye (and a landmark) goes by.

    Args:
        images, target: [B,3,H,W] in [-1,1].
        weight: [B,1,H,W], higher where it matters more (the mouth).
        scales: each halves the size once more; structure of every width counts.
    Returns:
        the two losses, unweighted against each other.
    """
    images, target = images.float(), target.float()
    level = weighted_mean((images - target).abs(), weight)
    edges = images.new_zeros(())
    for scale in range(scales):
        if scale:
            images, target, weight = (F.avg_pool2d(x, 2) for x in (images, target, weight))
        error = images - target
        across = weighted_mean(error.diff(dim=-1).abs(), weight[..., 1:])
        down = weighted_mean(error.diff(dim=-2).abs(), weight[..., 1:, :])
        edges = edges + (across + down) / 2
    return level, edges / scales


def kl_divergence(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL of a diagonal Gaussian to the unit Gaussian, mean over elements, nats."""
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()


def signal_to_noise(alphas_cumprod: Tensor, timesteps: Tensor) -> Tensor:
    """SNR [B] of `timesteps` [B]: alpha_bar / (1 - alpha_bar)."""
    kept = alphas_cumprod.to(timesteps.device)[timesteps].float()
    return kept / (1 - kept).clamp(min=1e-8)


def min_snr_weights(snr: Tensor, prediction_type: str, gamma: float = 5.0) -> Tensor:
    """Weight [B] of each sample's mean squared error, min-SNR (Hang et al. 2023, arXiv:2303.09556).

    In terms of x0 the weight is min(SNR, gamma). For the velocity it is (min(SNR, gamma) + 1) / (SNR + 1): the "+ 1"
    keeps the weight of the last timestep at 1 where the schedule ends in pure noise (SNR 0); without it nothing would
    be learned there, and that is the step at which a few-step sampler lays out the mouth.

    Raises:
        ValueError: an unknown prediction type.
    """
    clipped = snr.clamp(max=gamma)
    if prediction_type == "epsilon":
        return clipped / snr.clamp(min=1e-8)
    if prediction_type == "v_prediction":
        return (clipped + 1) / (snr + 1)
    if prediction_type == "sample":
        return clipped
    raise ValueError(f"no min-SNR weight for prediction type {prediction_type!r}")


def diffusion_loss(prediction: Tensor, target: Tensor, where: Tensor, sample_weight: Tensor) -> Tensor:
    """Squared error of the prediction [B,4,h,w], weighted over the picture by `where` [B,1,h,w] and over the batch."""
    error = (prediction.float() - target.float()).square()
    where = where.expand_as(error)
    per_sample = (error * where).flatten(1).sum(1) / where.flatten(1).sum(1).clamp(min=1e-6)
    return (per_sample * sample_weight).mean()


def info_nce(first: Tensor, second: Tensor, scale: Tensor | float, labels: Tensor | None = None) -> Tensor:
    """The symmetric contrast of pairs (InfoNCE as in CLIP), with several positives a row where labels say so.

    With labels all pairs of the same label are positives: the cross-entropy is taken to the uniform distribution over
    them (Khosla et al. 2020, arXiv:2004.11362, their L_out), so that two clips of one emotion do not repel each other.

    Args:
        first, second: unit vectors [B,D]; row i of the one belongs to row i of the other.
        scale: 1 / temperature.
        labels: int [B]; None: every row is its own class.
    """
    logits = first.float() @ second.float().T * scale
    labels = torch.arange(len(first), device=first.device) if labels is None else labels
    same = (labels[:, None] == labels[None, :]).float()
    target = same / same.sum(1, keepdim=True)
    # `same` is symmetric, so the target of the transposed contrast is the same matrix
    forth, back = logits.log_softmax(1), logits.T.log_softmax(1)
    return -(target * forth).sum(1).mean() / 2 - (target * back).sum(1).mean() / 2


def psnr(images: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """PSNR [B] in dB of images [B,3,H,W] in [-1,1], over the pixels that `weight` [B,1,H,W] picks."""
    error = (images.float() - target.float()).square().mean(1, keepdim=True) / 4
    weight = torch.ones_like(error) if weight is None else weight.expand_as(error)
    mean = (error * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp(min=1e-6)
    return -10 * mean.clamp(min=1e-10).log10()
