"""Fusion in levels: each kind of control acts at the resolution of the U-Net at which it shows in a face.

After MF-ETalk (Electronics 2025, 14(13), 2684): emotion is global (coarsest features), speech and head motion are
the middle, action units and lips are local (finest features).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

# diffusers looks for its base classes in the module that a pipeline's component comes from
from diffusers import ConfigMixin, ModelMixin, UNet2DConditionModel
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F

from models.conditions import zeroed
from models.hooks import Change, Hooks

KINDS = ("emotion", "audio", "motion", "action_units")
LEVELS: dict[str, tuple[str, ...]] = {
    "global": ("emotion",),
    "middle": ("audio",),
    "local": ("action_units", "audio"),
}
"""Level → the kinds of tokens that its feature maps attend to; the head's motion is added to those of all kinds."""


class MotionEncoder(nn.Module):
    """Tokens of the head's motion, read from what is visible of it: how the masked latents differ from the frame
    before and the frame after. The lips are under the mask: their motion is not seen.

    Forward: masked latents [B,4,h,w] of windows of `frames` frames one after the other, to tokens [B,4,width].
    """

    def __init__(self, width: int, channels: int = 24) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(8, channels, 3, stride=2, padding=1), nn.SiLU(),
            nn.Conv2d(channels, channels, 3, stride=2, padding=1), nn.SiLU(),
            nn.AdaptiveAvgPool2d(2),
        )  # fmt: skip
        self.out = nn.Linear(channels, width)

    def forward(self, masked: Tensor, frames: int) -> Tensor:
        clips = masked.unflatten(0, (-1, frames))
        step = clips[:, 1:] - clips[:, :-1]
        edge = torch.zeros_like(clips[:, :1])
        both = torch.cat([torch.cat([edge, step], dim=1), torch.cat([step, edge], dim=1)], dim=2).flatten(0, 1)
        return self.out(self.convs(both).flatten(2).transpose(1, 2))


class LevelAdapter(nn.Module):
    """A light cross-attention from a feature map [B,C,h,w] to tokens [B,T,width], gated; zero at the start.

    The last projection starts at zero and the gate open (tanh of 1), so that there is a gradient from the first step.
    """

    def __init__(self, channels: int, width: int, heads: int, groups: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(groups, channels)
        self.query = nn.Conv2d(channels, width, 1)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = zeroed(nn.Conv2d(width, channels, 1))
        self.gate = nn.Parameter(torch.ones(1))

    def forward(self, features: Tensor, tokens: Tensor, present: Tensor) -> Tensor:
        """`present` bool [B,T]: the tokens that are looked at (at least one a sample)."""
        batch, _, height, width = features.shape
        query = self.query(self.norm(features)).flatten(2).transpose(1, 2)
        key, value = self.key_value(tokens).chunk(2, dim=-1)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (query, key, value))
        read = F.scaled_dot_product_attention(q, k, v, attn_mask=present[:, None, None, :])
        read = read.transpose(1, 2).reshape(batch, height, width, -1).permute(0, 3, 1, 2)
        return features + torch.tanh(self.gate) * self.out(read)


class LevelFusion(ModelMixin, ConfigMixin):
    """Tokens of all controls, made to know of each other, and an adapter for each level of the U-Net's way up.

    Where adapters stand: after the first residual block of the middle block (global), of the last up block (local) and
    of those between (middle), by hooks (`models.hooks`), so that the U-Net stays diffusers' own.

    Args:
        block_out_channels: the U-Net's.
        token_dim: width of the tokens that come in (the U-Net's cross-attention).
        width: inside.
        heads: of every attention.
        norm_num_groups: the U-Net's.
    """

    @register_to_config
    def __init__(
        self,
        block_out_channels: tuple[int, ...] = (64, 128, 160),
        token_dim: int = 192,
        width: int = 64,
        heads: int = 4,
        norm_num_groups: int = 16,
    ) -> None:
        super().__init__()
        self.enter = nn.ModuleDict({kind: nn.Linear(token_dim, width) for kind in KINDS if kind != "motion"})
        self.motion = MotionEncoder(width)
        self.moved = zeroed(nn.Linear(width, width))  # frames that do not belong together have no motion
        self.kinds = nn.Parameter(torch.randn(len(KINDS), width) * 0.02)
        self.nothing = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.norm = nn.LayerNorm(width)
        self.mix = nn.MultiheadAttention(width, heads, batch_first=True)
        *between, last = reversed(block_out_channels[:-1])
        channels = [block_out_channels[-1], *between, last]
        self.adapters = nn.ModuleList(LevelAdapter(count, width, heads, norm_num_groups) for count in channels)
        self.levels = ("global", *("middle" for _ in between), "local")

    def fuse(
        self,
        tokens: Mapping[str, Tensor],
        keep: Mapping[str, Tensor | None],
        visual: Tensor | None = None,
        window: int | None = None,
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Level → (tokens [B,T,width], present bool [B,T]); what is left out or dropped is not looked at by anything.

        Args:
            tokens: kind → [B,N,token_dim]; kinds may be missing.
            keep: kind → [B] 1 or 0, or None.
            visual: [B,9,h,w], for the head's motion.
            window: frames of a clip; None: the frames do not belong together, and there is no motion.
        """
        parts = {kind: self.enter[kind](tokens[kind]) for kind in KINDS if kind in tokens}
        if window is not None and window > 1 and visual is not None:
            moved = self.moved(self.motion(visual[:, 1:5], window).mean(1, keepdim=True))
            parts = {kind: part + moved for kind, part in parts.items()}
        batch = len(next(iter(parts.values()))) if parts else (1 if visual is None else len(visual))
        # A token that is always there: with nothing else to look at, attention reads it.
        rows = [self.nothing.expand(batch, -1, -1)]
        present = [torch.ones(batch, 1, dtype=torch.bool, device=rows[0].device)]
        spans: dict[str, slice] = {}
        for kind, part in parts.items():
            start = sum(row.shape[1] for row in rows)
            spans[kind] = slice(start, start + part.shape[1])
            rows.append(part + self.kinds[KINDS.index(kind)])
            kept = keep.get(kind)
            there = torch.ones_like(present[0][:, 0]) if kept is None else kept > 0
            present.append(there[:, None].expand(-1, part.shape[1]))
        everything, known = torch.cat(rows, dim=1), torch.cat(present, dim=1)
        normed = self.norm(everything)
        everything = everything + self.mix(normed, normed, normed, key_padding_mask=~known, need_weights=False)[0]
        fused = {}
        for level, kinds in LEVELS.items():
            spans_here = [slice(0, 1), *(spans[kind] for kind in kinds if kind in spans)]
            fused[level] = (
                torch.cat([everything[:, span] for span in spans_here], dim=1),
                torch.cat([known[:, span] for span in spans_here], dim=1),
            )
        return fused

    def hooks(self, unet: UNet2DConditionModel, fused: Mapping[str, tuple[Tensor, Tensor]]) -> Hooks:
        """The adapters with their tokens (see `fuse`), for the layers of `unet` that they stand after."""
        layers = [unet.mid_block.resnets[0], *(block.resnets[0] for block in unet.up_blocks[1:])]

        def change(adapter: nn.Module, level: str) -> Change:
            return lambda features: adapter(features, *fused[level])

        return [
            (layer, change(adapter, level))
            for layer, adapter, level in zip(layers, self.adapters, self.levels, strict=True)
        ]


def build_fusion(unet: UNet2DConditionModel, width: int | None = None) -> LevelFusion:
    """An untrained fusion that fits `unet`; None: a width of the finest level's channels."""
    config = unet.config
    width = width or config.block_out_channels[0]
    return LevelFusion(tuple(config.block_out_channels), config.cross_attention_dim, width, 4, config.norm_num_groups)
