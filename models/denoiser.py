"""The denoiser: diffusers' own UNet2DConditionModel with LatentSync's 13 input channels, and what steers it.

Channels in: 4 noisy + 1 mask + 4 masked image + 4 reference. At `sd15` size the U-Net's keys and shapes are those of
`UNet2DConditionModel(in_channels=13, out_channels=4, cross_attention_dim=384, attention_head_dim=8)`, so public
checkpoints load. What is added stands beside it and never inside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.nn import functional as F

from models.conditions import AudioProjection, IdentityProjection, MaskEncoder
from models.emotion_control import EmotionControl, EmotionFeatures, EmotionSpace

DENOISERS: dict[str, dict[str, Any]] = {
    # Attention only at 8x8 and in the middle: at 16x16 it doubles the time of a step on a CPU and gains little.
    "studio": {
        "sample_size": 16,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "block_out_channels": (64, 128, 160),
        "layers_per_block": 1,
        "norm_num_groups": 16,
        "attention_head_dim": 4,  # diffusers' historical name: the number of heads
        "cross_attention_dim": 192,
        "class_embed_type": "simple_projection",
        "projection_class_embeddings_input_dim": 256,
    },
    "sd15": {
        "sample_size": 32,
        "block_out_channels": (320, 640, 1280, 1280),
        "layers_per_block": 2,
        "attention_head_dim": 8,
        "cross_attention_dim": 384,
    },
}

IN_CHANNELS = 13


def build_denoiser(profile: str | Mapping[str, Any] = "studio", **overrides: Any) -> UNet2DConditionModel:
    """An untrained U-Net: name in `DENOISERS` or arguments of diffusers' UNet2DConditionModel, some replaced."""
    settings = dict(DENOISERS[profile] if isinstance(profile, str) else profile) | overrides
    return UNet2DConditionModel(in_channels=IN_CHANNELS, out_channels=4, **settings)


@dataclass
class Conditions:
    """What steers one batch. Everything but the picture can be left out (None).

    Attributes:
        visual: [B,9,h,w] mask (1), latents of the masked crop (4), latents of the reference (4).
        mask: [1 or B,1,S,S] the region to generate, 1 inside, at full resolution.
        audio_tokens: [B,N,D] speech features round each frame.
        identity: [B,E] unit face embedding.
        emotion: [B,Dt] pooled embedding of the emotion text, unit length.
        emotion_image: [1 or B,Di] image features of the person for the emotion's joint embedding; None: not known.
        emotion_features: what the emotion branch made of these (`Denoiser.prepare`); None: it is run.
        keep_audio, keep_identity, keep_emotion: [B] 1 or 0: which samples keep the condition (dropped at random in
            training).
    """

    visual: Tensor
    mask: Tensor | None = None
    audio_tokens: Tensor | None = None
    identity: Tensor | None = None
    keep_audio: Tensor | None = None
    keep_identity: Tensor | None = None
    emotion: Tensor | None = None
    emotion_image: Tensor | None = None
    emotion_features: EmotionFeatures | None = None
    keep_emotion: Tensor | None = None


def visual_channels(mask: Tensor, masked_latents: Tensor, reference_latents: Tensor) -> Tensor:
    """mask [1 or B,1,S,S] and two latents [B,4,h,w] as the 9 channels that follow the noisy latents."""
    small = F.interpolate(mask, size=masked_latents.shape[-2:], mode="area")
    small = small.expand(masked_latents.shape[0], -1, -1, -1).to(masked_latents.dtype)
    return torch.cat([small, masked_latents, reference_latents], dim=1)


@contextmanager
def _added_after_conv_in(unet: UNet2DConditionModel, features: Tensor | None) -> Iterator[None]:
    # A hook, because the U-Net's class and keys must stay diffusers' own.
    if features is None:
        yield
        return
    handle = unet.conv_in.register_forward_hook(lambda module, args, output: output + features.to(output.dtype))
    try:
        yield
    finally:
        handle.remove()


class Denoiser(nn.Module):
    """The U-Net with its conditions: one module for training (DDP, EMA) and for the pipeline.

    Args:
        unet: see `build_denoiser`.
        mask_encoder, identity_projection, audio_projection: each may be None. Without `audio_projection` the speech
            features are the context as they are (`sd15`: whisper's hidden states).
        emotion_space, emotion_control: the emotion branch, both or none.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        mask_encoder: MaskEncoder | None = None,
        identity_projection: IdentityProjection | None = None,
        audio_projection: AudioProjection | None = None,
        emotion_space: EmotionSpace | None = None,
        emotion_control: EmotionControl | None = None,
    ) -> None:
        super().__init__()
        self.unet = unet
        self.mask_encoder = mask_encoder
        self.identity_projection = identity_projection
        self.audio_projection = audio_projection
        self.emotion_space = emotion_space
        self.emotion_control = emotion_control

    def prepare(self, conditions: Conditions) -> Conditions:
        """`conditions` with what depends neither on the noise nor on the timestep: the emotion-control features.

        The pipeline calls it once for all denoising steps and guidance passes; `forward` calls it where it was not.
        """
        if conditions.emotion is None or self.emotion_space is None or self.emotion_control is None:
            return replace(conditions, emotion_features=None)
        if conditions.emotion_features is not None:
            return conditions
        joint = self.emotion_space.joint(conditions.emotion, conditions.emotion_image)
        return replace(conditions, emotion_features=self.emotion_control(joint, conditions.visual, conditions.mask))

    def context(self, conditions: Conditions) -> tuple[Tensor, Tensor | None]:
        """Context tokens [B,N,W] for cross-attention and the pooled vector [B,P] (None where the U-Net takes none).

        Sound that is left out is all zeros, as in LatentSync.
        """
        batch, reference = conditions.visual.shape[0], conditions.visual
        pooled_dim = self.unet.config.projection_class_embeddings_input_dim
        pooled: Tensor | None = None
        if conditions.audio_tokens is None:
            tokens = reference.new_zeros(batch, 1, self.unet.config.cross_attention_dim)
        elif self.audio_projection is None:
            tokens = conditions.audio_tokens
        else:
            tokens, pooled = self.audio_projection(conditions.audio_tokens)
        tokens = _kept(tokens, conditions.keep_audio)
        pooled = None if pooled is None else _kept(pooled, conditions.keep_audio)
        if pooled_dim and pooled is None:
            pooled = reference.new_zeros(batch, pooled_dim)
        if conditions.identity is not None and self.identity_projection is not None:
            tokens = tokens + _kept(self.identity_projection(tokens, conditions.identity), conditions.keep_identity)
        feeling = conditions.emotion_features
        if feeling is not None and self.emotion_control is not None:
            tokens = tokens + _kept(self.emotion_control.read(tokens, feeling), conditions.keep_emotion)
            if pooled is not None and feeling.pooled is not None:
                pooled = pooled + _kept(feeling.pooled, conditions.keep_emotion)
        return tokens, pooled

    def forward(self, noisy: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
        """noisy [B,4,h,w] at `timesteps` ([B] or a scalar) to the prediction (noise, v or x0, as trained) [B,4,h,w]."""
        conditions = self.prepare(conditions)
        tokens, pooled = self.context(conditions)
        residuals: dict[str, Any] = {}
        if conditions.emotion_features is not None:
            down = tuple(_kept(residual, conditions.keep_emotion) for residual in conditions.emotion_features.down)
            mid = _kept(conditions.emotion_features.mid, conditions.keep_emotion)
            residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
        features = None
        if self.mask_encoder is not None and conditions.mask is not None:
            features = self.mask_encoder(conditions.mask)
        sample = torch.cat([noisy, conditions.visual], dim=1)
        with _added_after_conv_in(self.unet, features):
            return self.unet(sample, timesteps, tokens, class_labels=pooled, **residuals).sample


def _kept(values: Tensor, keep: Tensor | None) -> Tensor:
    """`values` [B,...] times `keep` [B]; as they are without it."""
    return values if keep is None else values * keep.reshape(-1, *(1,) * (values.ndim - 1))


def build_ema(module: nn.Module, decay: float = 0.999) -> EMAModel:
    """An exponential moving average of the module's weights that warms up, so that a short run is not held back."""
    return EMAModel(module.parameters(), decay=decay, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
