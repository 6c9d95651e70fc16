"""Frame interpolation: the frame between two, by warping both along a learned flow and repairing what that leaves.

The model renders every second frame where motion allows; this network fills in the rest. It is a small intermediate
flow network (RIFE, Huang et al. 2022, arXiv:2011.06294): coarse to fine, each level corrects flow and blend mask.
"""

from __future__ import annotations

import numpy as np
import torch

# diffusers looks for its base classes in the module that a pipeline's component comes from
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from models.autoencoder import to_frames, to_images
from models.conditions import zeroed

FLOWS = 4
"""Two flows of two channels: where the middle frame's pixels lie in the first and in the second frame."""


def warp(images: Tensor, flow: Tensor) -> Tensor:
    """Images [B,C,H,W] read at each pixel's place plus `flow` [B,2,H,W] (x, y in pixels), borders continued."""
    height, width = images.shape[-2:]
    ys = torch.arange(height, device=images.device, dtype=torch.float32)
    xs = torch.arange(width, device=images.device, dtype=torch.float32)
    x = (xs[None, None] + flow[:, 0].float()) * (2 / max(width - 1, 1)) - 1
    y = (ys[None, :, None] + flow[:, 1].float()) * (2 / max(height - 1, 1)) - 1
    grid = torch.stack([x, y], dim=-1)
    return F.grid_sample(images.float(), grid, padding_mode="border", align_corners=True).to(images.dtype)


class FlowLevel(nn.Module):
    """One level: at a `scale`-th of the size, what to add to flows (4), mask logit (1) and residual (3); zero at the
    start."""

    def __init__(self, inner: int, channels: int, layers: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.enter = nn.Sequential(
            nn.Conv2d(inner, channels // 2, 3, stride=2, padding=1), nn.PReLU(channels // 2),
            nn.Conv2d(channels // 2, channels, 3, padding=1), nn.PReLU(channels),
        )  # fmt: skip
        self.body = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(layers))
        self.act = nn.PReLU(channels)
        self.out = zeroed(nn.Conv2d(channels, FLOWS + 1 + 3, 3, padding=1))

    def forward(self, x: Tensor, flow: Tensor) -> Tensor:
        size = x.shape[-2:]
        x = torch.cat([x, flow / self.scale], dim=1)
        if self.scale > 1:
            x = F.interpolate(x, scale_factor=1 / self.scale, mode="bilinear", antialias=True, align_corners=False)
        x = self.enter(x)
        for conv in self.body:
            x = x + self.act(conv(x))
        x = F.interpolate(self.out(x), size=size, mode="bilinear", align_corners=False)
        # flows were found in pixels of this level
        return torch.cat([x[:, :FLOWS] * self.scale, x[:, FLOWS:]], dim=1)


class FrameInterpolator(ModelMixin, ConfigMixin):
    """The frame in the middle of two; about a quarter of a million parameters.

    Forward: first and second frame float [B,3,S,S] in [-1,1] to the middle one [B,3,S,S]. Untrained it is the mean of
    the two. S is a multiple of twice the largest scale.

    Args:
        channels: inside each level.
        layers: convolutions of each level's body.
        scales: of the levels, from coarse to fine.
    """

    @register_to_config
    def __init__(self, channels: int = 48, layers: int = 3, scales: tuple[int, ...] = (4, 2, 1)) -> None:
        super().__init__()
        # both frames, both warped, mask, flows
        self.levels = nn.ModuleList(FlowLevel(12 + 1 + FLOWS, channels, layers, scale) for scale in scales)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        flow = first.new_zeros(len(first), FLOWS, *first.shape[-2:])
        mask = first.new_zeros(len(first), 1, *first.shape[-2:])
        residual = torch.zeros_like(first)
        warped = (first, second)
        for index, level in enumerate(self.levels):
            change = level(torch.cat([first, second, *warped, mask], dim=1), flow)
            flow, mask = flow + change[:, :FLOWS], mask + change[:, FLOWS : FLOWS + 1]
            warped = (warp(first, flow[:, :2]), warp(second, flow[:, 2:]))
            if index == len(self.levels) - 1:
                residual = change[:, FLOWS + 1 :]
        share = torch.sigmoid(mask)
        return warped[0] * share + warped[1] * (1 - share) + residual


@torch.no_grad()
def interpolate(
    model: FrameInterpolator, first: NDArray[np.uint8], second: NDArray[np.uint8], batch_size: int = 16
) -> NDArray[np.uint8]:
    """The middle frames of pairs, uint8 RGB [B,S,S,3] and [B,S,S,3] to [B,S,S,3]."""
    weight = next(model.parameters())
    made = [
        model(*(to_images(frames[start : start + batch_size]).to(weight) for frames in (first, second)))
        for start in range(0, len(first), batch_size)
    ]
    return to_frames(torch.cat(made)) if made else np.empty_like(first)
