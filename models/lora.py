"""Low-rank adapters (LoRA, Hu et al. 2021, arXiv:2106.09685) in a U-Net's attention: the one door to peft.

W x becomes W x + alpha / rank B A x, with B zero at the start, so that a fresh adapter changes nothing. W is never
touched; `merged` gives a copy of the U-Net in which W has become W + alpha / rank B A and nothing else is left.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save_file

NAME = "adapt"
"""The adapter's name inside the U-Net; files do not keep it."""
TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
"""The projections of every attention, as diffusers calls them."""
FILE = "pytorch_lora_weights.safetensors"
"""The name that diffusers gives such files."""
SETTINGS = "lora_adapter_metadata"
"""Where diffusers' `load_lora_adapter` looks for rank and scale, in the file's metadata."""


def add_lora(
    unet: UNet2DConditionModel, rank: int, alpha: int, targets: Sequence[str] = TARGETS, seed: int = 0
) -> None:
    """Give `unet` fresh adapters in place; all its other weights are frozen. It computes exactly what it did.

    Args:
        rank: of B A.
        alpha: what B A is scaled with, times the rank.
        targets: names (their last parts) of the linear or convolutional layers that get one.
        seed: of A; the random state of the process is left as it was, so that every worker has the same A.
    Raises:
        ValueError: no layer has such a name, or the U-Net has adapters already.
    """
    if has_lora(unet):
        raise ValueError("the U-Net has adapters already: merge them first")
    # A pattern, not a list: peft keeps lists as sets, whose order would change what is written into the file.
    pattern = r"(.*\.)?(" + "|".join(re.escape(name) for name in targets) + ")"
    device = unet.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        unet.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, target_modules=pattern), NAME)


def has_lora(part: Any) -> bool:
    """Whether a part of a pipeline is a U-Net with adapters that are not merged."""
    return isinstance(part, UNet2DConditionModel) and NAME in getattr(part, "peft_config", {})


def merged(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """A copy of `unet` with the adapters in its weights: keys and shapes are diffusers' own again."""
    whole = copy.deepcopy(unet)
    if has_lora(whole):
        whole.fuse_lora()
        whole.unload_lora()
    return whole


def save_adapter(unet: UNet2DConditionModel, folder: str | Path, dtype: torch.dtype = torch.float32) -> Path:
    """Write the adapters alone into `folder`; returns the file (safetensors, in diffusers' layout).

    ``unet.load_lora_adapter(folder, weight_name=FILE, prefix=None)`` of the U-Net that they were trained on brings
    them back.
    """
    file = Path(folder) / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    found = get_peft_model_state_dict(unet, None, NAME)
    weights = {name: value.to("cpu", dtype).contiguous() for name, value in found.items()}
    # One entry: safetensors writes several in an order that changes from process to process, and the registry goes
    # by content. (diffusers' own `save_lora_adapter` writes two.)
    settings = json.dumps(unet.peft_config[NAME].to_dict(), sort_keys=True)
    save_file(weights, str(file), metadata={SETTINGS: settings})
    return file
