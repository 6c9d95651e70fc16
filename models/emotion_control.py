"""The emotion branch: what a text asks a person's face to feel, as features that steer the denoiser.

Text and image are aligned in one contrastive space (`EmotionSpace`); their joint embedding steers a ControlNet
(`EmotionControl`), whose emotion-control features enter the denoiser by cross-attention, as residuals of its blocks,
and, where the U-Net takes a pooled vector, by its time embedding. Every way in starts at zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

# diffusers looks for its base classes in the module that a pipeline's component comes from
from diffusers import ConfigMixin, ControlNetModel, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F

from models.conditions import ContextReader, zeroed

VISUAL_CHANNELS = 9
"""Mask (1), latents of the masked crop (4), latents of the reference (4): `models.denoiser.visual_channels`."""


class EmotionSpace(ModelMixin, ConfigMixin):
    """One space for what emotion texts say and what faces show, learned by InfoNCE (`models.losses.info_nce`).

    Args:
        text_dim: width of the pooled text embedding (`models.text.TextEncoder.width`; 128 in the studio pack).
        image_dim: width of the image features: the unit face embedding (512), or it with further features behind it.
        dim: width D of the space.
        hidden: width inside the projections.
        temperature: of the contrast at the start; learned as its logarithm.
    """

    @register_to_config
    def __init__(
        self, text_dim: int = 128, image_dim: int = 512, dim: int = 128, hidden: int = 256, temperature: float = 0.07
    ) -> None:
        super().__init__()
        self.text = _projection(text_dim, hidden, dim)
        self.image = _projection(image_dim, hidden, dim)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / temperature)))
        self.no_image = nn.Parameter(torch.zeros(dim))
        # The raw text goes along: the contrast may pull together the intensities of one emotion.
        self.mix = _projection(2 * dim + text_dim, hidden, dim)
        zeroed(self.mix[-1])

    @property
    def scale(self) -> Tensor:
        """What cosines are multiplied with, 1 / temperature; at most 100, as in CLIP."""
        return self.log_scale.exp().clamp(max=100.0)

    def embed_text(self, text: Tensor) -> Tensor:
        """Pooled text embeddings [B,text_dim] (unit length) to unit vectors [B,D]."""
        return F.normalize(self.text(text * text.shape[-1] ** 0.5), dim=-1)

    def embed_image(self, features: Tensor) -> Tensor:
        """Image features [B,image_dim] (each part of unit length) to unit vectors [B,D]."""
        return F.normalize(self.image(features * features.shape[-1] ** 0.5), dim=-1)

    def joint(self, text: Tensor, image: Tensor | None = None) -> Tensor:
        """What is felt and by whom, unit vectors [B,D].

        At the start it is the text's embedding; what the person adds to it is learned.

        Args:
            text: [B,text_dim], as for `embed_text`.
            image: [B,image_dim] (or [1,image_dim]), as for `embed_image`; None where the person is not known.
        """
        said = self.embed_text(text)
        seen = self.no_image.expand_as(said) if image is None else self.embed_image(image).expand_as(said)
        mixed = self.mix(torch.cat([said, seen, text * text.shape[-1] ** 0.5], dim=-1))
        return F.normalize(said + mixed, dim=-1)

    def forward(self, text: Tensor, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(embed_text, embed_image, scale): what `models.losses.info_nce` takes; one forward for DDP."""
        return self.embed_text(text), self.embed_image(image), self.scale


def _projection(inner: int, hidden: int, outer: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(inner), nn.Linear(inner, hidden), nn.GELU(), nn.Linear(hidden, outer))


@dataclass
class EmotionFeatures:
    """Emotion-control features of a batch of frames; they hold for every denoising step.

    Attributes:
        tokens: [B,T,W] for cross-attention: the joint embedding's tokens, then the ControlNet's own.
        pooled: [B,P] to be added to the U-Net's pooled vector, zero at the start; None where it takes none.
        down, mid: residuals for the U-Net's down blocks and middle block, zero at the start.
    """

    tokens: Tensor
    pooled: Tensor | None
    down: tuple[Tensor, ...]
    mid: Tensor


class EmotionControl(ModelMixin, ConfigMixin):
    """A ControlNet that turns a joint embedding into emotion-control features for one picture.

    Unlike the first ControlNet (Zhang et al. 2023, arXiv:2302.05543) it does not see the noisy latents and its
    timestep is always 0: it looks at the masked crop, the reference and the mask, and reads the joint embedding by
    cross-attention. So it runs **once a frame**; its features serve every denoising step and every guidance pass.

    Args:
        dim: width of the joint embedding (`EmotionSpace`'s dim).
        width: of the U-Net's cross-attention.
        num_tokens: tokens made from the joint embedding.
        grid: the ControlNet's middle features are read as grid x grid further tokens.
        pooled_dim: width of the U-Net's pooled vector, or None.
        residuals: channels of the U-Net's residuals where the ControlNet is narrower than the U-Net: they are widened
            by convolutions of their own. None: it has the U-Net's widths.
        settings: arguments of diffusers' ControlNetModel; its layers are the U-Net's, its keys and shapes stay
            diffusers' own. See `control_settings`.
    """

    @register_to_config
    def __init__(
        self,
        dim: int = 128,
        width: int = 192,
        num_tokens: int = 4,
        grid: int = 2,
        pooled_dim: int | None = 256,
        settings: Mapping[str, Any] | None = None,
        residuals: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.controlnet = ControlNetModel(
            in_channels=VISUAL_CHANNELS, conditioning_channels=1, cross_attention_dim=width, **(settings or {})
        )
        self.widen: nn.ModuleList | None = None
        if residuals is not None:
            ends = [*self.controlnet.controlnet_down_blocks, self.controlnet.controlnet_mid_block]
            for end in ends:
                end.reset_parameters()  # what starts at zero is the convolution behind it
            self.widen = nn.ModuleList(
                zeroed(nn.Conv2d(end.out_channels, channels, 1)) for end, channels in zip(ends, residuals, strict=True)
            )
        self.tokens = nn.Linear(dim, num_tokens * width)
        self.features = nn.Linear(self.controlnet.config.block_out_channels[-1], width)
        self.position = nn.Parameter(torch.randn(num_tokens + grid * grid, width) * 0.02)
        self.reader = ContextReader(width)
        self.pool = _projection(dim, width, pooled_dim) if pooled_dim else None
        if self.pool is not None:
            zeroed(self.pool[-1])

    def forward(self, joint: Tensor, visual: Tensor, mask: Tensor | None = None) -> EmotionFeatures:
        """The features of B frames.

        Args:
            joint: [B,dim] unit vectors of `EmotionSpace.joint`.
            visual: [B,9,h,w] of `models.denoiser.visual_channels`.
            mask: [1 or B,1,S,S] at full resolution; None takes the one in `visual`.
        """
        if mask is None:
            mask = F.interpolate(visual[:, :1], scale_factor=8.0, mode="nearest")
        strong = joint * joint.shape[-1] ** 0.5
        said = self.tokens(strong).unflatten(-1, (self.config.num_tokens, -1))
        labels = strong if self.controlnet.class_embedding is not None else None
        down, mid = self.controlnet(
            visual, 0, said, mask.expand(len(visual), -1, -1, -1), class_labels=labels, return_dict=False
        )
        seen = F.adaptive_avg_pool2d(mid, self.config.grid).flatten(2).transpose(1, 2)
        tokens = torch.cat([said, self.features(seen)], dim=1) + self.position
        if self.widen is not None:
            *down, mid = (widen(residual) for widen, residual in zip(self.widen, (*down, mid), strict=True))
        return EmotionFeatures(tokens, None if self.pool is None else self.pool(strong), tuple(down), mid)

    def read(self, context: Tensor, features: EmotionFeatures) -> Tensor:
        """What is added to the context [B,N,W] of the U-Net's cross-attention, [B,N,W]; zero at the start."""
        return self.reader(context, features.tokens)


def control_settings(unet: Any, dim: int, share: float = 1.0) -> dict[str, Any]:
    """The arguments of a ControlNetModel that fits `unet` (a UNet2DConditionModel): same down blocks, widths times
    `share`.

    Where the U-Net takes a pooled vector, the joint embedding [dim] also modulates the ControlNet's residual blocks.
    """
    config = unet.config
    names = ("down_block_types", "block_out_channels", "layers_per_block", "norm_num_groups", "attention_head_dim")
    settings = {name: config[name] for name in names}
    groups = config.norm_num_groups
    settings["block_out_channels"] = [
        width if share == 1 else max(1, round(width * share / groups)) * groups for width in config.block_out_channels
    ]
    if config.projection_class_embeddings_input_dim:
        settings |= {"class_embed_type": "projection", "projection_class_embeddings_input_dim": dim}
        settings["conditioning_embedding_out_channels"] = (8, 16, 24, 32)
    return settings


def build_control(unet: Any, dim: int = 128, share: float = 1.0) -> EmotionControl:
    """An untrained ControlNet that fits `unet`, for joint embeddings [dim]; zero at the start.

    Its widths are `share` times the U-Net's: half of them is a quarter of the weights.
    """
    width, pooled_dim = unet.config.cross_attention_dim, unet.config.projection_class_embeddings_input_dim
    settings = control_settings(unet, dim, share)
    residuals = None if share == 1 else residual_channels(unet)
    return EmotionControl(dim, width, pooled_dim=pooled_dim, settings=settings, residuals=residuals)


def residual_channels(unet: Any) -> list[int]:
    """Channels of the residuals that a ControlNet gives `unet`: of its first convolution, each layer and each
    downsampler on its way down, and of its middle block.
    """
    widths, layers = unet.config.block_out_channels, unet.config.layers_per_block
    channels = [widths[0]]
    for number, width in enumerate(widths):
        channels += [width] * (layers + (number + 1 < len(widths)))
    return [*channels, widths[-1]]


def build_emotion(
    unet: Any, text_dim: int = 128, image_dim: int = 512, dim: int = 128
) -> tuple[EmotionSpace, EmotionControl]:
    """An untrained emotion branch that fits `unet`; with it the denoiser computes exactly what it did without."""
    return EmotionSpace(text_dim, image_dim, dim), build_control(unet, dim)
