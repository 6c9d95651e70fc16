"""How a base wants to be called where public checkpoints differ from our own models: stored with every pipeline."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Conventions:
    """What a base takes and gives beyond the shapes of its weights; the defaults are our own models'.

    Conditions, masks and latents stay in our convention everywhere (mask 1 = repaint, fresh branches see that too);
    `Denoiser` and `DubPipeline` translate them for the U-Net.

    Attributes:
        kind: who made the base: "studio" (ours), "latentsync", "musetalk".
        alignment: the template that its face crops are aligned to.
        direct: one evaluation at timestep 0 gives the latents themselves: no noise, no steps.
        norm_over_window: the GroupNorms of residual blocks and output take their statistics over all frames of a
            window together, those before temporal attention over each frame alone (LatentSync). Else the other way.
        keep_mask: the U-Net's mask channel is 1 where the picture is kept, taken at the nearest pixel (LatentSync).
        masked_fill: the level in [-1,1] of the region to repaint in the masked crop.
        own_reference: it is given each frame itself, unmasked, as its reference, not another frame of the person.
        guidance_audio: scale of the sound that it is published with.
        steps: DDIM steps that it is published with.
    """

    kind: str = "studio"
    alignment: str = "studio"
    direct: bool = False
    norm_over_window: bool = False
    keep_mask: bool = False
    masked_fill: float = 0.0
    own_reference: bool = False
    guidance_audio: float = 1.5
    steps: int = 10

    def network_input(self, noisy: Tensor, visual: Tensor) -> Tensor:
        """What the U-Net is given: `noisy` [B,4,h,w], `visual` [B,9,h,w]; a direct base the two latents alone."""
        return visual[:, 1:] if self.direct else torch.cat([noisy, visual], dim=1)

    def network_visual(self, visual: Tensor, mask: Tensor | None) -> Tensor:
        """Our nine channels [B,9,h,w] with the mask channel as the base knows it.

        Args:
            mask: [1 or B,1,S,S] at full resolution; None takes what lies in `visual`.
        """
        if not self.keep_mask:
            return visual
        where = visual[:, :1] if mask is None else F.interpolate(mask, size=visual.shape[-2:], mode="nearest")
        kept = (1 - where).expand(len(visual), -1, -1, -1).to(visual.dtype)
        return torch.cat([kept, visual[:, 1:]], dim=1)


def masked(images: Tensor, mask: Tensor, fill: float = 0.0) -> Tensor:
    """Images [F,3,S,S] in [-1,1] with the region to repaint (`mask` [1 or F,1,S,S], 1 inside) at the level `fill`."""
    hidden = images * (1 - mask)
    return hidden + fill * mask if fill else hidden
