"""How what was generated goes into the crop: exactly the crop outside the mask, and no rim where the two meet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F


def compose(frames: NDArray[np.uint8], generated: NDArray[np.uint8], mask: NDArray[np.floating]) -> NDArray[np.uint8]:
    """`generated` inside the mask [1 or F,S,S], `frames` outside: exactly, wherever the mask is 0. uint8 [F,S,S,3]."""
    weight = np.asarray(mask, dtype=np.float32)[..., None]
    mixed = frames * (1 - weight) + generated * weight
    return np.where(weight > 0, np.rint(mixed), frames).astype(np.uint8)


def match_surround(images: Tensor, generated: Tensor, mask: Tensor) -> Tensor:
    """Carry the colour error seen outside the mask smoothly into it, so that no rim shows.

    Autoencoder and denoiser get broad colours slightly wrong. Outside the mask the truth is known; the difference there
    is continued inside by push-pull interpolation (a membrane with that border, as in gradient-domain cloning). It
    varies slowly, so what was generated keeps its shapes.

    Args:
        images, generated: [F,3,S,S] in [-1,1].
        mask: [1 or F,1,S,S], 1 where generated.
    Returns:
        `generated` corrected, [F,3,S,S]; unchanged where the mask covers everything.
    """
    known = (mask <= 0).float().expand(len(images), -1, -1, -1)
    values, weights = [(images - generated) * known], [known]
    while min(values[-1].shape[-2:]) > 1:
        weight = F.avg_pool2d(weights[-1], 2)
        values.append(F.avg_pool2d(values[-1], 2))  # weighted sums: divided by their weight on the way back
        weights.append(weight)
    filled = values[-1] / weights[-1].clamp(min=1e-6)
    for value, weight in zip(values[-2::-1], weights[-2::-1], strict=True):
        coarse = F.interpolate(filled, size=value.shape[-2:], mode="bilinear", align_corners=False)
        share = weight.clamp(max=1)
        filled = value + (1 - share) * coarse
    return generated + filled
