"""Stable Diffusion 1.5's U-Net and autoencoder from folders in diffusers' layout, made ready for dubbing.

The U-Net gets LatentSync's 13 input channels. The new ones start at zero, so that at first it predicts exactly what
the base does. Only safetensors are read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from diffusers import AutoencoderKL, ModelMixin, UNet2DConditionModel
from safetensors import SafetensorError
from torch import nn

from models.checkpoints import MissingCheckpoint, UnusableCheckpoint
from models.denoiser import IN_CHANNELS

WEIGHTS = "diffusion_pytorch_model.safetensors"

Loaded = TypeVar("Loaded", bound=ModelMixin)


def load_sd15_unet(
    folder: str | Path, in_channels: int = IN_CHANNELS, cross_attention_dim: int | None = None
) -> UNet2DConditionModel:
    """The base U-Net, float32 on the CPU, with `in_channels` input channels.

    Channels: the base's own come first (4 noisy latents; of an inpainting base also mask and masked image, 9), the
    order that LatentSync keeps. With added channels of any value, the output equals the base's exactly.

    Args:
        folder: ``unet/`` of a Stable Diffusion folder.
        cross_attention_dim: width of the condition tokens; None keeps the base's 768. Another width makes the keys and
            values of the cross-attention anew (untrained), and nothing else.
    Raises:
        MissingCheckpoint: no such folder, or no config.json in it.
        UnusableCheckpoint: no safetensors, cut off, of other shapes, or with more input channels than asked for.
    """
    unet = _load(UNet2DConditionModel, folder, "sd15_unet")
    if unet.config["in_channels"] > in_channels:
        raise UnusableCheckpoint(
            f"{folder}: {unet.config['in_channels']} input channels, more than {in_channels}", "Take the base model."
        )
    widen_input(unet, in_channels)
    if cross_attention_dim is not None and cross_attention_dim != unet.config["cross_attention_dim"]:
        change_context(unet, cross_attention_dim)
    return unet


def load_sd15_vae(folder: str | Path) -> AutoencoderKL:
    """The autoencoder, float32 on the CPU, for inference; ``vae/`` of a Stable Diffusion folder, or sd-vae-ft-mse.

    Raises:
        MissingCheckpoint, UnusableCheckpoint: as `load_sd15_unet`.
    """
    return _load(AutoencoderKL, folder, "sd15_vae").eval().requires_grad_(False)


def widen_input(unet: UNet2DConditionModel, in_channels: int) -> None:
    """Give `unet` more input channels, in place; their weights are zero."""
    narrow = unet.conv_in
    if narrow.in_channels == in_channels:
        return
    wide = nn.Conv2d(
        in_channels, narrow.out_channels, narrow.kernel_size, narrow.stride, narrow.padding,
        device=narrow.weight.device, dtype=narrow.weight.dtype,
    )  # fmt: skip
    with torch.no_grad():
        wide.weight.zero_()
        wide.weight[:, : narrow.in_channels] = narrow.weight
        if wide.bias is not None and narrow.bias is not None:
            wide.bias.copy_(narrow.bias)
    unet.conv_in = wide
    unet.register_to_config(in_channels=in_channels)


def change_context(unet: UNet2DConditionModel, cross_attention_dim: int) -> None:
    """Make the cross-attention of `unet` read tokens of another width, in place: fresh keys and values."""
    for name, attention in unet.named_modules():
        if name.endswith(".attn2"):
            old = attention.to_k
            for part in ("to_k", "to_v"):
                fresh = nn.Linear(cross_attention_dim, old.out_features, bias=old.bias is not None)
                setattr(attention, part, fresh.to(old.weight))
            attention.cross_attention_dim = cross_attention_dim
    unet.register_to_config(cross_attention_dim=cross_attention_dim)


def _load(kind: type[Loaded], folder: str | Path, key: str) -> Loaded:
    place = Path(folder)
    if not (place / "config.json").is_file():
        raise MissingCheckpoint(f"no config.json in {place}", f"`{key}` in models/checkpoints.yaml names the files.")
    if not (place / WEIGHTS).is_file():
        raise UnusableCheckpoint(
            f"no {WEIGHTS} in {place}",
            f"Pickled weights (.bin, .ckpt) are not read, they may hold code. `{key}` in models/checkpoints.yaml.",
        )
    try:
        model = kind.from_pretrained(
            str(place), use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
        )  # fmt: skip
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UnusableCheckpoint(f"{place / WEIGHTS} cannot be loaded: {reason}", f"Fetch `{key}` anew.") from error
    return model.float()
