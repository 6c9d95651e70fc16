"""LatentSync's checkpoints 1.5 (256 px) and 1.6 (512 px): ByteDance, arXiv:2412.09262.

Their U-Net is `UNet2DConditionModel` with 13 input channels; their temporal layers are AnimateDiff's motion modules
under other names. What else a network of theirs expects is `LATENTSYNC`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import MotionAdapter, UNet2DConditionModel
from torch import Tensor

from models.bare_unet import GROUPS, HEADS, fill, load_unet
from models.checkpoints import UnusableCheckpoint, read_weights, sha256_of
from models.conventions import Conventions
from models.denoiser import IN_CHANNELS
from models.temporal import build_motion_adapter

MADE_OF = "LatentSync"
LATENTSYNC = Conventions(
    kind="latentsync",
    alignment="latentsync",
    norm_over_window=True,
    keep_mask=True,
    own_reference=True,
    guidance_audio=1.5,
    steps=20,
)

_NAMES = {
    "temporal_transformer.": "",
    "attention_blocks.0.": "attn1.",
    "attention_blocks.1.": "attn2.",
    "norms.0.": "norm1.",
    "norms.1.": "norm2.",
    "ff_norm.": "norm3.",
}
_REMEDY = "Temporal layers of this make are not supported: export the file without them."
_POSITIONS = re.compile(r"attn[12]\.pos_encoder\.pe$")


@dataclass(frozen=True)
class LatentSyncCheckpoint:
    """What a file held.

    Attributes:
        unet: 13 input channels, float32 on the CPU.
        motion: the temporal layers; None where the file has none. A file with those of the decoder alone gives
            modules on the way down that change nothing.
        global_step: of their training, where the file says it.
        sha256: of the file.
    """

    unet: UNet2DConditionModel
    motion: MotionAdapter | None
    global_step: int | None
    sha256: str

    @property
    def base(self) -> Conventions:
        """How the network wants to be called."""
        return LATENTSYNC


def load_latentsync(file: str | Path) -> LatentSyncCheckpoint:
    """Read a file of LatentSync's: `.pt`, `.ckpt` or `.safetensors`; as data alone, nothing in it is executed.

    Every key and shape is checked; the widths follow from the shapes.

    Raises:
        MissingCheckpoint: no such file.
        UnusableCheckpoint: cut off, executable content, or weights that are not LatentSync's; says which.
    """
    path = Path(file)
    loaded = read_weights(path, MADE_OF)
    step = loaded.get("global_step") if isinstance(loaded, Mapping) else None
    weights = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else loaded
    if not isinstance(weights, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in weights.items()
    ):
        raise UnusableCheckpoint(
            f"{path} holds no state dict of {MADE_OF}", "It wants named tensors, alone or under `state_dict`."
        )
    temporal = {key: value for key, value in weights.items() if ".motion_modules." in key}
    spatial = {key: value for key, value in weights.items() if key not in temporal}
    unet = load_unet(spatial, MADE_OF, path, IN_CHANNELS)
    motion = _motion(temporal, unet, path) if temporal else None
    return LatentSyncCheckpoint(unet, motion, step if isinstance(step, int) else None, sha256_of(path))


def _motion(theirs: Mapping[str, Tensor], unet: UNet2DConditionModel, path: Path) -> MotionAdapter:
    """Motion modules under diffusers' names; those that the file leaves out start as ours do, without an effect."""
    weights = _renamed(theirs, path)
    lengths = {value.shape[1] for key, value in weights.items() if key.endswith("pos_embed.pe") and value.ndim == 3}
    if len(lengths) != 1:
        raise UnusableCheckpoint(f"{path}: its temporal positions are {sorted(lengths)} frames long", _REMEDY)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same file makes the same model
        adapter = build_motion_adapter(
            unet,
            motion_layers_per_block=unet.config.layers_per_block,
            motion_num_attention_heads=HEADS,
            motion_norm_num_groups=GROUPS,
            motion_max_seq_length=lengths.pop(),
            use_motion_mid_block=any(key.startswith("mid_block.") for key in weights),
        )
    if not any(key.startswith("down_blocks.") for key in weights):
        weights |= {key: value for key, value in adapter.state_dict().items() if key.startswith("down_blocks.")}
    fill(adapter, weights, f"{MADE_OF}'s temporal layers", path)
    return adapter.eval()


def _renamed(theirs: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for key, value in theirs.items():
        for old, new in _NAMES.items():
            key = key.replace(old, new)
        # Both attentions of a block carry the positions, which diffusers' block holds once.
        once = _POSITIONS.sub("pos_embed.pe", key)
        if once in weights and not torch.equal(weights[once], value):
            raise UnusableCheckpoint(f"{path}: {key} differs from the positions of the attention beside it", _REMEDY)
        weights[once] = value
    return weights
