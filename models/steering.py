"""What the conditions of a batch become: everything that the U-Net is given at every step, whatever the noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from models.emotion_control import EmotionFeatures


def kept(values: Tensor, keep: Tensor | None) -> Tensor:
    """`values` [B,...] times `keep` [B]; as they are without it."""
    return values if keep is None else values * keep.reshape(-1, *(1,) * (values.ndim - 1))


@dataclass(frozen=True)
class Steering:
    """Conditions made ready by `Denoiser.steer`: they depend neither on the noisy latents nor on the timestep.

    Attributes:
        visual: [B,9,h,w] channels that follow the noisy latents.
        context: [B,N,W] tokens of the cross-attention.
        pooled: [B,P] for the time embedding, or None.
        after_conv_in: [1 or B,C,h,w] added to the first convolution's output, or None.
        down, mid: residuals of the down blocks and the middle block (ControlNet's), or None.
        fused: level → (tokens [B,T,V], present bool [B,T]) of `models.fusion.LevelFusion`; empty without.
        window: frames of a clip for temporal attention; None: the frames do not belong together.
    """

    visual: Tensor
    context: Tensor
    pooled: Tensor | None = None
    after_conv_in: Tensor | None = None
    down: tuple[Tensor, ...] | None = None
    mid: Tensor | None = None
    fused: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    window: int | None = None

    def select(self, index: Tensor | slice, window: int | None = None) -> Steering:
        """The samples of `index` (int64 [K] or a slice) as a batch of clips of `window` frames."""
        count = len(self.visual)

        def chosen(value: Tensor | None) -> Tensor | None:
            return value if value is None or len(value) != count else value[index]

        return Steering(
            self.visual[index],
            self.context[index],
            chosen(self.pooled),
            chosen(self.after_conv_in),
            None if self.down is None else tuple(residual[index] for residual in self.down),
            chosen(self.mid),
            {level: (tokens[index], present[index]) for level, (tokens, present) in self.fused.items()},
            window,
        )


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
        action_units: [B,20] FACS intensities in 0..1, in the order of `models.action_units.AUS`.
        keep_audio, keep_identity, keep_emotion, keep_action_units: [B] 1 or 0: which samples keep the condition
            (dropped at random in training). A dropped condition does exactly what one that is left out does.
        window: frames of a clip: the batch is clips x window, and temporal attention looks along each clip. None: the
            frames do not belong together.
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
    action_units: Tensor | None = None
    keep_action_units: Tensor | None = None
    window: int | None = None
