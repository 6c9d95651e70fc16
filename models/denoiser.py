"""The denoiser: diffusers' own UNet2DConditionModel with LatentSync's 13 input channels, and what steers it.

Channels in: 4 noisy + 1 mask + 4 masked image + 4 reference. At `sd15` size the U-Net's keys and shapes are those of
`UNet2DConditionModel(in_channels=13, out_channels=4, cross_attention_dim=384, attention_head_dim=8)`, so public
checkpoints load. What is added stands beside it and never inside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from diffusers import MotionAdapter, UNet2DConditionModel
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.nn import functional as F

from models.action_units import ActionUnitEncoder
from models.conditions import AudioProjection, IdentityProjection, MaskEncoder
from models.conventions import Conventions
from models.emotion_control import EmotionControl, EmotionSpace
from models.fusion import LevelFusion
from models.hooks import Hooks, Recomputing, adding, hooked
from models.routing import TimestepRouter
from models.steering import Conditions, Steering, kept
from models.temporal import motion_hooks, norms_over_window

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


def visual_channels(mask: Tensor, masked_latents: Tensor, reference_latents: Tensor) -> Tensor:
    """mask [1 or B,1,S,S] and two latents [B,4,h,w] as the 9 channels that follow the noisy latents."""
    small = F.interpolate(mask, size=masked_latents.shape[-2:], mode="area")
    small = small.expand(masked_latents.shape[0], -1, -1, -1).to(masked_latents.dtype)
    return torch.cat([small, masked_latents, reference_latents], dim=1)


class Denoiser(nn.Module):
    """The U-Net with its conditions: one module for training (DDP, EMA) and for the pipeline.

    Args:
        unet: see `build_denoiser`.
        mask_encoder, identity_projection, audio_projection: each may be None. Without `audio_projection` the speech
            features are the context as they are (`sd15`: whisper's hidden states).
        emotion_space, emotion_control: the emotion branch, both or none.
        action_unit_encoder, level_fusion, motion_adapter: each may be None.
        later_unets: U-Nets for the later (less noisy) timesteps; `unet` takes the first.
        boundaries: the timesteps between them, see `TimestepRouter`; one for each later U-Net.
        base: how the U-Net wants to be called.
    Raises:
        ValueError: boundaries that do not fit the number of U-Nets.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        mask_encoder: MaskEncoder | None = None,
        identity_projection: IdentityProjection | None = None,
        audio_projection: AudioProjection | None = None,
        emotion_space: EmotionSpace | None = None,
        emotion_control: EmotionControl | None = None,
        action_unit_encoder: ActionUnitEncoder | None = None,
        level_fusion: LevelFusion | None = None,
        motion_adapter: MotionAdapter | None = None,
        later_unets: Sequence[UNet2DConditionModel] = (),
        boundaries: Sequence[int] = (),
        base: Conventions | None = None,
    ) -> None:
        super().__init__()
        if len(boundaries) != len(later_unets):
            raise ValueError(f"{len(later_unets)} later U-Nets need as many boundaries, got {list(boundaries)}")
        self.unet = unet
        self.mask_encoder = mask_encoder
        self.identity_projection = identity_projection
        self.audio_projection = audio_projection
        self.emotion_space = emotion_space
        self.emotion_control = emotion_control
        self.action_unit_encoder = action_unit_encoder
        self.level_fusion = level_fusion
        self.motion_adapter = motion_adapter
        self.later_unets = nn.ModuleList(later_unets)
        self.router = TimestepRouter(boundaries) if self.later_unets else None
        self.base = base or Conventions()
        self._recomputing = Recomputing()

    def recompute(self) -> None:
        """Keep few activations for the backward pass and compute the rest anew there: less memory, more time.

        Of the U-Nets' residual and attention blocks, the temporal layers and the emotion branch; no result changes.
        """
        for unet in (self.unet, *self.later_unets):
            unet.enable_gradient_checkpointing(self._recomputing)
        if self.emotion_control is not None:
            self.emotion_control.controlnet.enable_gradient_checkpointing()

    @property
    def sees_windows(self) -> bool:
        """Whether frames that belong together must be given together, as a window."""
        return self.motion_adapter is not None or self.base.norm_over_window

    def prepare(self, conditions: Conditions) -> Conditions:
        """`conditions` with the emotion-control features, which hold for all guidance passes that know the emotion."""
        if conditions.emotion is None or self.emotion_space is None or self.emotion_control is None:
            return replace(conditions, emotion_features=None)
        if conditions.emotion_features is not None:
            return conditions
        joint = self.emotion_space.joint(conditions.emotion, conditions.emotion_image)
        return replace(conditions, emotion_features=self.emotion_control(joint, conditions.visual, conditions.mask))

    def steer(self, conditions: Conditions) -> Steering:
        """All that is the same at every step and timestep, worked out once.

        Sound that is left out is all zeros, as in LatentSync.
        """
        conditions = self.prepare(conditions)
        visual, feeling = conditions.visual, conditions.emotion_features
        tokens, pooled = self._audio(conditions)
        fused_tokens = {} if conditions.audio_tokens is None else {"audio": tokens}
        if conditions.identity is not None and self.identity_projection is not None:
            tokens = tokens + kept(self.identity_projection(tokens, conditions.identity), conditions.keep_identity)
        down, mid = None, None
        if feeling is not None and self.emotion_control is not None:
            tokens = tokens + kept(self.emotion_control.read(tokens, feeling), conditions.keep_emotion)
            pooled = _with(pooled, feeling.pooled, conditions.keep_emotion)
            down = tuple(kept(residual, conditions.keep_emotion) for residual in feeling.down)
            mid = kept(feeling.mid, conditions.keep_emotion)
            fused_tokens["emotion"] = feeling.tokens
        if conditions.action_units is not None and self.action_unit_encoder is not None:
            units, added = self.action_unit_encoder(conditions.action_units)
            tokens = tokens + kept(self.action_unit_encoder.read(tokens, units), conditions.keep_action_units)
            pooled = _with(pooled, added, conditions.keep_action_units)
            fused_tokens["action_units"] = units
        fused = {}
        if self.level_fusion is not None:
            keep = {
                "audio": conditions.keep_audio,
                "emotion": conditions.keep_emotion,
                "action_units": conditions.keep_action_units,
            }
            fused = self.level_fusion.fuse(fused_tokens, keep, visual, conditions.window)
        where = None
        if self.mask_encoder is not None and conditions.mask is not None:
            where = self.mask_encoder(conditions.mask)
        seen = self.base.network_visual(visual, conditions.mask)
        return Steering(seen, tokens, pooled, where, down, mid, fused, conditions.window)

    def _audio(self, conditions: Conditions) -> tuple[Tensor, Tensor | None]:
        batch, reference = conditions.visual.shape[0], conditions.visual
        pooled_dim = self.unet.config.projection_class_embeddings_input_dim
        pooled: Tensor | None = None
        if conditions.audio_tokens is None:
            tokens = reference.new_zeros(batch, 1, self.unet.config.cross_attention_dim)
        elif self.audio_projection is None:
            tokens = conditions.audio_tokens
        else:
            tokens, pooled = self.audio_projection(conditions.audio_tokens)
        tokens = kept(tokens, conditions.keep_audio)
        pooled = None if pooled is None else kept(pooled, conditions.keep_audio)
        if pooled_dim and pooled is None:
            pooled = reference.new_zeros(batch, pooled_dim)
        return tokens, pooled

    def forward(self, noisy: Tensor, timesteps: Tensor, conditions: Conditions | Steering) -> Tensor:
        """noisy [B,4,h,w] at `timesteps` ([B] or a scalar) to the prediction (noise, v or x0, as trained) [B,4,h,w].

        A direct base gives the latents, whatever `noisy` and `timesteps` are.
        Frames of one clip (`window`) have one timestep where several U-Nets share the timesteps.
        """
        steering = conditions if isinstance(conditions, Steering) else self.steer(conditions)
        if self.router is None:
            return self._predict(self.unet, noisy, timesteps, steering)
        unets = (self.unet, *self.later_unets)
        if timesteps.ndim == 0:
            return self._predict(unets[self.router.pick(timesteps)], noisy, timesteps, steering)
        groups = self.router.split(timesteps)
        if len(groups) == 1:
            return self._predict(unets[next(iter(groups))], noisy, timesteps, steering)
        order = torch.cat(list(groups.values()))
        parts = [
            self._predict(unets[index], noisy[rows], timesteps[rows], steering.select(rows, steering.window))
            for index, rows in groups.items()
        ]
        return torch.cat(parts)[order.argsort()]

    def _predict(self, unet: UNet2DConditionModel, noisy: Tensor, timesteps: Tensor, steering: Steering) -> Tensor:
        hooks: Hooks = []
        if steering.after_conv_in is not None:
            hooks.append((unet.conv_in, adding(steering.after_conv_in)))
        if self.level_fusion is not None:
            hooks += self.level_fusion.hooks(unet, steering.fused)
        if self.motion_adapter is not None and steering.window is not None:
            recomputing = self._recomputing if unet.is_gradient_checkpointing else None
            hooks += motion_hooks(unet, self.motion_adapter, steering.window, recomputing)
        residuals: dict[str, Any] = {}
        if steering.down is not None:
            residuals = {
                "down_block_additional_residuals": steering.down, "mid_block_additional_residual": steering.mid,
            }  # fmt: skip
        sample, at = self.base.network_input(noisy, steering.visual), timesteps
        if self.base.direct:
            at = torch.zeros_like(timesteps)

        @contextmanager
        def opened() -> Iterator[None]:
            over: AbstractContextManager[None] = nullcontext()
            if self.base.norm_over_window and steering.window is not None:
                over = norms_over_window(unet, self.motion_adapter, steering.window)
            with hooked(hooks), over:
                yield

        with opened(), self._recomputing.under(opened):
            return unet(sample, at, steering.context, class_labels=steering.pooled, **residuals).sample


def _with(pooled: Tensor | None, added: Tensor | None, keep: Tensor | None) -> Tensor | None:
    return pooled if pooled is None or added is None else pooled + kept(added, keep)


def build_ema(weights: Iterable[nn.Parameter], decay: float = 0.999) -> EMAModel:
    """An exponential moving average of weights that warms up, so that a short run is not held back."""
    return EMAModel(weights, decay=decay, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
