"""U-Nets of public checkpoints from bare weights: the architecture follows from the shapes, and all of them must fit.

Both LatentSync's and MuseTalk's are Stable Diffusion 1.5's in the keys of diffusers' `UNet2DConditionModel`. A narrow
network of the same layout loads too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from models.checkpoints import UnusableCheckpoint

HEADS, GROUPS = 8, 32
"""Attention heads and normalisation groups, which no shape tells: Stable Diffusion 1.5's, kept by both releases."""

_SHOWN = 3  # names in a message
_CROSS = ("", "CrossAttn")
_CONTEXT = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"


def load_unet(
    weights: Mapping[str, Tensor],
    made_of: str,
    path: Path,
    in_channels: int,
    settings: Mapping[str, Any] | None = None,
) -> UNet2DConditionModel:
    """The U-Net of a state dict, float32 on the CPU.

    Args:
        weights: keys and shapes of diffusers' UNet2DConditionModel.
        made_of: what it is, for messages.
        path: of the file, for messages.
        in_channels: that the base has.
        settings: arguments of UNet2DConditionModel that were published with it; None: they follow from the shapes.
    Raises:
        UnusableCheckpoint: a key is missing or too many, or a shape or value does not fit; says which.
    """
    first = _get(weights, "conv_in.weight", made_of, path)
    if first.ndim != 4 or first.shape[1] != in_channels:
        raise UnusableCheckpoint(
            f"{path}: conv_in.weight has the shape {list(first.shape)}, {made_of} takes {in_channels} input channels",
            f"This is no file of {made_of}, or one of another project's base.",
        )
    chosen = dict(settings) if settings is not None else unet_settings(weights, made_of, path)
    try:
        with torch.device("meta"):  # no time for first weights that are replaced at once
            unet = UNet2DConditionModel(**chosen)
    except (ValueError, TypeError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UnusableCheckpoint(f"{path}: no U-Net can be built from its shapes: {reason}", _anew(made_of)) from error
    unet.to_empty(device="cpu")
    fill(unet, weights, made_of, path)
    return unet.eval()


def unet_settings(weights: Mapping[str, Tensor], made_of: str, path: Path) -> dict[str, Any]:
    """The arguments of UNet2DConditionModel that a state dict was made with.

    Raises:
        UnusableCheckpoint: a key that tells about it is missing.
    """

    def count(prefix: str) -> int:
        numbers = [found[1] for key in weights if (found := re.match(re.escape(prefix) + r"(\d{1,3})\.", key))]
        return 1 + max(map(int, numbers), default=0)

    def of(key: str) -> Tensor:
        return _get(weights, key, made_of, path)

    def attends(block: str) -> bool:
        return any(key.startswith(f"{block}.attentions.") for key in weights)

    blocks = range(count("down_blocks."))
    return {
        "in_channels": of("conv_in.weight").shape[1],
        "out_channels": len(of("conv_out.weight")),
        "block_out_channels": tuple(len(of(f"down_blocks.{number}.resnets.0.conv1.weight")) for number in blocks),
        "down_block_types": tuple(f"{_CROSS[attends(f'down_blocks.{number}')]}DownBlock2D" for number in blocks),
        "up_block_types": tuple(f"{_CROSS[attends(f'up_blocks.{number}')]}UpBlock2D" for number in blocks),
        "layers_per_block": count("down_blocks.0.resnets."),
        "cross_attention_dim": of(_CONTEXT).shape[-1],
        "attention_head_dim": HEADS,  # diffusers' historical name: the number of heads
        "norm_num_groups": GROUPS,
    }


def fill(module: nn.Module, weights: Mapping[str, Tensor], made_of: str, path: Path) -> None:
    """Copy `weights` into `module`, whose keys and shapes they must have exactly.

    Raises:
        UnusableCheckpoint: a key is missing or too many, or a shape or value does not fit; says which.
    """
    wanted = module.state_dict()
    lacking = [key for key in wanted if key not in weights]
    surplus = [key for key in weights if key not in wanted]
    if lacking or surplus:
        told = [f"{len(lacking)} of {len(wanted)} weights are missing ({_some(lacking)})"] if lacking else []
        told += [f"{len(surplus)} are not {made_of}'s ({_some(surplus)})"] if surplus else []
        raise UnusableCheckpoint(f"{path} does not hold {made_of}: " + "; ".join(told), _anew(made_of))
    for key, place in wanted.items():
        found = weights[key]
        if found.shape != place.shape:
            raise UnusableCheckpoint(
                f"{path}: {key} has the shape {list(found.shape)}, {made_of} wants {list(place.shape)}", _anew(made_of)
            )
        if not found.is_floating_point() or not bool(torch.isfinite(found).all()):
            raise UnusableCheckpoint(f"{path}: {key} holds values that are no finite numbers", _anew(made_of))
        place.copy_(found)


def _get(weights: Mapping[str, Tensor], key: str, made_of: str, path: Path) -> Tensor:
    if key not in weights:
        raise UnusableCheckpoint(
            f"{path} does not hold {made_of}: {key} is missing (it has {len(weights)} weights)", _anew(made_of)
        )
    return weights[key]


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", …" if len(keys) > _SHOWN else "")


def _anew(made_of: str) -> str:
    return f"Fetch the published file of {made_of} anew: models/checkpoints.yaml says from where."
