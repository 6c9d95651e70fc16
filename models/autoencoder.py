"""The latent space: diffusers' `AutoencoderKL`, small for the studio, Stable Diffusion 1.5's shape for production."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

AUTOENCODERS: dict[str, dict[str, Any]] = {
    # 128 px -> 4 x 16 x 16. No attention in the middle: wholly convolutional, so that it may train on parts of a crop.
    "studio": {
        "block_out_channels": (16, 24, 48, 96),
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "sample_size": 128,
        "mid_block_add_attention": False,
        "scaling_factor": 1.0,
    },
    "sd15": {
        "block_out_channels": (128, 256, 512, 512),
        "layers_per_block": 2,
        "norm_num_groups": 32,
        "sample_size": 512,
        "scaling_factor": 0.18215,
    },
}


def build_autoencoder(profile: str | Mapping[str, Any] = "studio", **overrides: Any) -> AutoencoderKL:
    """An untrained autoencoder: RGB [B,3,S,S] in [-1,1] to latents [B,4,S/8,S/8] and back.

    Args:
        profile: name in `AUTOENCODERS`, or keyword arguments of diffusers' AutoencoderKL.
        overrides: arguments that replace the profile's, e.g. ``block_out_channels=(8, 16, 16, 16)``.
    """
    settings = dict(AUTOENCODERS[profile] if isinstance(profile, str) else profile) | overrides
    levels = len(settings["block_out_channels"])
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=settings.pop("latent_channels", 4),
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        **settings,
    )


def channels_last(vae: AutoencoderKL) -> AutoencoderKL:
    """The autoencoder itself, its weights laid out channels last: a processor convolves a third faster so.

    Its numbers stay the same but for rounding. Costs nothing where they lie so already.
    """
    weight = vae.encoder.conv_in.weight
    if not weight.is_contiguous(memory_format=torch.channels_last):
        vae.to(memory_format=torch.channels_last)
    return vae


def to_images(frames: NDArray[np.uint8]) -> Tensor:
    """uint8 RGB [...,H,W,3] to float32 [...,3,H,W] in [-1,1]."""
    images = torch.from_numpy(np.ascontiguousarray(frames)).movedim(-1, -3)
    return images.float() / 127.5 - 1


def to_frames(images: Tensor) -> NDArray[np.uint8]:
    """Float [...,3,H,W] in [-1,1] to uint8 RGB [...,H,W,3]; values beyond the range are clipped."""
    levels = ((images.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return levels.movedim(-3, -1).cpu().numpy()


def encode(vae: AutoencoderKL, images: Tensor) -> Tensor:
    """Images [B,3,S,S] in [-1,1] to the mean of their latents, scaled to about unit variance, contiguous
    [B,4,S/8,S/8].
    """
    shift = vae.config.shift_factor or 0.0
    return ((vae.encode(images).latent_dist.mode() - shift) * vae.config.scaling_factor).contiguous()


def decode(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Scaled latents [B,4,h,w] to images [B,3,8h,8w], about [-1,1]; contiguous."""
    shift = vae.config.shift_factor or 0.0
    return vae.decode(latents / vae.config.scaling_factor + shift).sample.contiguous()
