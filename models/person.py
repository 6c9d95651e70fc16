"""Who is to feel: image features of a person, as the emotion space was aligned with them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.autoencoder import to_images
from models.emotion import FaceEmotion, image_features
from models.shot import Values, distinct, rows


def person_features(
    reference: NDArray[np.uint8], identity: Values | None, width: int, recogniser: FaceEmotion | None
) -> Tensor | None:
    """Image features [1 or F,width] of the person in `reference`, or None where they cannot be had.

    Args:
        reference: uint8 [1 or F,S,S,3]; a picture that repeats is read once.
        identity: unit face embedding [E] or [F,E]; None: not known.
        width: of the emotion space's image features.
        recogniser: what it sees beside the identity; None: the identity alone.
    """
    who = None if identity is None else rows(identity)
    if recogniser is None:
        return who if who is not None and who.shape[-1] == width else None
    pictures, which = distinct(reference)
    crops = (to_images(pictures).to(recogniser.device, recogniser.dtype) + 1) / 2
    who = crops.new_zeros(1, width - recogniser.config.width) if who is None else who.to(crops)
    features = image_features(who[:1].expand(len(crops), -1), crops, recogniser)[which]
    count = max(len(who), len(features))
    return torch.cat([who.expand(count, -1), features[:, who.shape[-1] :].expand(count, -1)], dim=-1)
