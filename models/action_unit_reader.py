"""Reads FACS action units off an aligned crop: what E-FID compares, and what the action-unit condition can be fed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

from models.action_units import AUS
from models.emotion import DROPOUT, PACKS, WHOLE, MissingEmotion, look

SIDE = 96


class ActionUnitReader(ModelMixin, ConfigMixin):
    """A small convolutional net; about 180 thousand parameters.

    Forward: crops float [B,3,S,S] in 0..1 (tasks/crops.py; any size; their `window` is read at `side` px) →
    intensities [B,20] about 0..1 in the order of AUS; differentiable, so not clipped: `read` clips.
    """

    config_name: Any = "config.json"

    @register_to_config
    def __init__(
        self,
        channels: tuple[int, ...] = (12, 24, 40, 64, 88),
        width: int = 96,
        units: int = len(AUS),
        side: int = SIDE,
        window: tuple[float, float, float] = WHOLE,
    ) -> None:
        super().__init__()
        sizes = (3, *channels)
        self.convs = nn.ModuleList(
            nn.Conv2d(sizes[i], sizes[i + 1], 3, stride=2, padding=1) for i in range(len(channels))
        )
        self.norms = nn.ModuleList(nn.GroupNorm(4, c) for c in channels)
        self.out = nn.Linear(channels[-1] * (side >> len(channels)) ** 2, width)
        self.intensities = nn.Linear(width, units)

    def features(self, crops: Tensor) -> Tensor:
        """crops float [B,3,S,S] in 0..1 → features [B,width]."""
        x = (look(crops, self.config["window"], self.config["side"]) * 2 - 1).contiguous()
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.gelu(norm(conv(x)))
        return F.gelu(self.out(F.dropout(x.flatten(1), DROPOUT, self.training)))

    def forward(self, crops: Tensor) -> Tensor:
        return self.intensities(self.features(crops))

    @torch.no_grad()
    def read(self, crops: Tensor, batch_size: int = 256) -> Tensor:
        """Intensities float [N,20] in 0..1 of crops uint8 or float 0..1 [N,3,S,S], on the CPU."""
        if not len(crops):
            return torch.zeros(0, len(AUS))
        parts = [part.to(self.device) for part in crops.split(batch_size)]
        scaled = (part.to(self.dtype) / 255 if part.dtype == torch.uint8 else part.to(self.dtype) for part in parts)
        return torch.cat([self(part).float().clamp(0, 1).cpu() for part in scaled])


def load_action_units(source: str | Path = "studio") -> ActionUnitReader:
    """The action-unit reader of a shipped pack or of a folder, float32 on the CPU.

    Raises:
        MissingEmotion: there is none.
    """
    path = Path(source)
    folder = path if path.is_dir() else PACKS / str(source) / "emotion"
    folder = folder / "action_units" if (folder / "action_units").is_dir() else folder
    if not (folder / "config.json").is_file():
        raise MissingEmotion(f"no action-unit reader at {source}", "name the pack 'studio' or train: --stage emotion")
    model = ActionUnitReader.from_pretrained(
        str(folder), use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
    )
    return model.float().eval().requires_grad_(False)
