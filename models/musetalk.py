"""MuseTalk 1.5's checkpoint (256 px): Tencent Music Entertainment's Lyra Lab, arXiv:2410.10122.

Its U-Net is diffusers' `UNet2DConditionModel` with 8 input channels, the latents of the masked crop and of the
reference, called once at timestep 0: what it gives are the latents themselves. What else it expects is `MUSETALK`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

# diffusers looks for its base classes in the module that a pipeline's component comes from
from diffusers import ConfigMixin, ModelMixin, UNet2DConditionModel
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from models.bare_unet import load_unet
from models.checkpoints import UnusableCheckpoint, read_tensors, sha256_of
from models.conventions import Conventions

MADE_OF = "MuseTalk"
IN_CHANNELS = 8
CONFIG = "musetalk.json"
MUSETALK = Conventions(
    kind="musetalk",
    alignment="musetalk",
    direct=True,
    masked_fill=-1.0,
    own_reference=True,
    guidance_audio=1.0,
    steps=1,
)


class AudioPositions(ModelMixin, ConfigMixin):
    """Adds sinusoidal positions to the audio tokens of a frame; nothing to learn.

    The positions of the Transformer (Vaswani et al. 2017, arXiv:1706.03762): sines in even, cosines in odd columns.

    Forward: tokens [B,N,width] to (tokens [B,N,width], None), as `models.conditions.AudioProjection` without a pooled
    vector; N up to `num_tokens`.
    """

    @register_to_config
    def __init__(self, width: int = 384, num_tokens: int = 50) -> None:
        super().__init__()
        place = torch.arange(num_tokens, dtype=torch.float32)[:, None]
        waves = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(1e4) / width))
        self.register_buffer("positions", torch.stack([(place * waves).sin(), (place * waves).cos()], -1).flatten(1))

    def forward(self, tokens: Tensor) -> tuple[Tensor, None]:
        if tokens.shape[1] > self.config.num_tokens:
            raise ValueError(f"expected up to {self.config.num_tokens} audio tokens a frame, got {tokens.shape[1]}")
        return tokens + self.positions[: tokens.shape[1]].to(tokens.dtype), None


@dataclass(frozen=True)
class MuseTalkCheckpoint:
    """What a file held: the U-Net (8 input channels, float32 on the CPU), and the file's sha256."""

    unet: UNet2DConditionModel
    sha256: str

    @property
    def base(self) -> Conventions:
        """How the network wants to be called."""
        return MUSETALK


def load_musetalk(file: str | Path, config: str | Path | None = None) -> MuseTalkCheckpoint:
    """Read MuseTalk's `unet.pth` (or its state dict as `.safetensors`); as data alone, nothing in it is executed.

    Every key and shape is checked.

    Args:
        config: the JSON file that is published beside it; None takes `musetalk.json` in its folder where there is one,
            else the architecture follows from the shapes.
    Raises:
        MissingCheckpoint: no such file.
        UnusableCheckpoint: cut off, executable content, or weights that are not MuseTalk's; says which.
    """
    path = Path(file)
    beside = path.with_name(CONFIG) if config is None else Path(config)
    settings = _settings(beside) if config is not None or beside.is_file() else None
    return MuseTalkCheckpoint(
        load_unet(read_tensors(path, MADE_OF), MADE_OF, path, IN_CHANNELS, settings), sha256_of(path)
    )


def _settings(config: Path) -> dict[str, Any]:
    try:
        said = json.loads(config.read_text(encoding="utf-8"))
        return {name: value for name, value in said.items() if not name.startswith("_")}
    except (OSError, ValueError, AttributeError) as error:
        raise UnusableCheckpoint(
            f"{config} cannot be read as the configuration of {MADE_OF}: {error}",
            "Fetch it anew, or take it away: without it the architecture follows from the weights.",
        ) from error
