"""Scenes: a backdrop fills the picture, whatever its shape."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.studio.identity import sample_identity
from tasks.studio.scene import sample_scene


@pytest.mark.parametrize("size", [(160, 160), (384, 216), (216, 384)])
def test_a_plain_backdrop_never_fades_to_black(size: tuple[int, int]) -> None:
    backdrops = (sample_scene(sample_identity(seed), seed).background for seed in range(60))
    for backdrop in (backdrop for backdrop in backdrops if backdrop.kind == 0):
        picture = backdrop.picture(size)
        darkest = min(np.max(colour) for colour in backdrop.colours[:2])
        assert picture.shape == (size[1], size[0], 3)
        assert picture.max(-1).min() > 0.2 * darkest
