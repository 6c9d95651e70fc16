"""Narrow checkpoints in the layouts of LatentSync's and MuseTalk's releases, with weights that follow from their names.

`tests/models/data` holds what the projects' own code computes with these weights and `sample`, `context`: LatentSync's
`UNet3DConditionModel` (commit a229c39) at timestep 481, MuseTalk's `UNet` and `PositionalEncoding` (commit 0a89dec) at
timestep 0, both in float32 on a CPU. `rendered` are the latents of whole calls at the widths `THIN` with `narrow_vae`
(its mean taken for a draw): LatentSync's `LipsyncPipeline` with 4 steps and guidance 1.5, MuseTalk's `VAE` and `UNet`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from diffusers import AutoencoderKL, MotionAdapter, UNet2DConditionModel
from torch import Tensor

from models.autoencoder import build_autoencoder

DATA = Path(__file__).with_name("data")
Widths = tuple[int, int, int, int]
WIDTHS: Widths = (32, 64, 96, 96)
"""Of the recorded networks."""
THIN: Widths = (32, 32, 32, 32)
"""As narrow as 32 groups allow: a file of 5 MB."""
CONTEXT, FRAMES = 16, 16
TIMESTEP = 481
Motion = Literal["plain", "decoder", "full"]


def values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Normal numbers that a name stands for, float64: RandomState's stream is frozen."""
    return np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)


def weights_of(shapes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of these keys and shapes; positions stay what they are."""
    made = {}
    for key, tensor in shapes.items():
        if key.endswith(".pe"):
            made[key] = tensor.clone()
            continue
        value = values(key, tuple(tensor.shape))
        if tensor.ndim == 1:
            value = 0.1 * value + float(key.endswith("weight"))
        else:
            value = value / np.sqrt(np.prod(tensor.shape[1:]))
        made[key] = torch.from_numpy(value.astype(np.float32))
    return made


def unet_shapes(in_channels: int, widths: Widths = WIDTHS) -> dict[str, Tensor]:
    """The keys and shapes of a narrow U-Net."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            in_channels=in_channels, out_channels=4, block_out_channels=widths, cross_attention_dim=CONTEXT,
            attention_head_dim=8, layers_per_block=2, norm_num_groups=32,
        )  # fmt: skip
    return unet.state_dict()


def motion_shapes(motion: Motion, widths: Widths = WIDTHS) -> dict[str, Tensor]:
    """The keys of LatentSync's motion modules with their shapes; positions with their values."""
    adapter = MotionAdapter(
        block_out_channels=widths, motion_layers_per_block=2, motion_max_seq_length=24, use_motion_mid_block=False
    )
    theirs = {}
    for key, tensor in adapter.state_dict().items():
        if motion == "decoder" and key.startswith("down_blocks."):
            continue
        head, module, rest = key.partition(".motion_modules.")
        number, _, rest = rest.partition(".")
        for old, new in (("norm1.", "norms.0."), ("norm2.", "norms.1."), ("norm3.", "ff_norm."),
                         ("attn1.", "attention_blocks.0."), ("attn2.", "attention_blocks.1.")):  # fmt: skip
            rest = rest.replace(old, new)
        place = f"{head}{module}{number}.temporal_transformer."
        names = [rest]
        if rest.endswith("pos_embed.pe"):
            names = [rest.replace("pos_embed", f"attention_blocks.{n}.pos_encoder") for n in (0, 1)]
        theirs |= {place + name: tensor for name in names}
    return theirs


@lru_cache(maxsize=6)
def _weights(in_channels: int, motion: Motion, widths: Widths) -> dict[str, Tensor]:
    temporal = {} if motion == "plain" else motion_shapes(motion, widths)
    return weights_of(unet_shapes(in_channels, widths) | temporal)


def narrow_latentsync(motion: Motion = "plain", widths: Widths = WIDTHS) -> dict[str, Any]:
    """What a file of LatentSync's holds: `state_dict` and `global_step`."""
    return {"global_step": 12000, "state_dict": dict(_weights(13, motion, widths))}


def narrow_musetalk(widths: Widths = WIDTHS) -> dict[str, Tensor]:
    """What MuseTalk's `unet.pth` holds: a bare state dict."""
    return dict(_weights(8, "plain", widths))


def narrow_vae() -> AutoencoderKL:
    """An autoencoder of sd-vae-ft-mse's layout."""
    vae = build_autoencoder("sd15", block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4)
    vae.load_state_dict(weights_of(vae.state_dict()))
    return vae.eval()


def sample(frames: int = FRAMES) -> Tensor:
    """What the recorded U-Nets were given, [F,13,8,16]: frames of unlike contrast (MuseTalk: the last 8 channels)."""
    noise = torch.from_numpy(values("sample", (FRAMES, 13, 8, 16)).astype(np.float32))
    return (noise * (0.5 + torch.arange(FRAMES) / 8)[:, None, None, None])[:frames]


def context(frames: int = FRAMES) -> Tensor:
    """Audio tokens [F,50,16]."""
    return torch.from_numpy(values("context", (FRAMES, 50, CONTEXT)).astype(np.float32))[:frames]
