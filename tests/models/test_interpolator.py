"""The frame interpolator: the mean at first, better than the mean after a few steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models.interpolator import (
    FrameInterpolator,
    MissingInterpolator,
    interpolate,
    load_interpolator,
    warp,
    work_box,
)
from models.losses import psnr

SIZE = 32


def moving_squares(count: int, generator: torch.Generator) -> torch.Tensor:
    """float [3,count,3,SIZE,SIZE] in [-1,1]: a bright square at three moments of an even motion of 4 to 8 pixels."""
    start = torch.randint(8, 14, (count, 2), generator=generator)
    step = torch.randint(2, 5, (count, 2), generator=generator)
    place = start + torch.arange(3)[:, None, None] * step
    line = torch.arange(SIZE)
    inside = (line >= place[..., None]) & (line < place[..., None] + 8)  # [3,count,2,SIZE]
    square = inside[:, :, :1, :, None] & inside[:, :, 1:, None, :]
    frames = torch.where(square, 0.6, -0.6).expand(-1, -1, 3, -1, -1)
    return frames


def test_untrained_it_is_the_mean() -> None:
    first, _, second = moving_squares(2, torch.Generator().manual_seed(0))
    model = FrameInterpolator()
    assert torch.allclose(model(first, second), (first + second) / 2, atol=1e-5)
    assert sum(parameter.numel() for parameter in model.parameters()) <= 0.3e6


def test_warping_reads_where_the_flow_points() -> None:
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    right = torch.zeros(1, 2, 4, 4)
    right[:, 0] = 1
    assert torch.allclose(warp(image, right)[..., :3], image[..., 1:], atol=1e-4)


def test_a_few_steps_beat_the_mean() -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    model = FrameInterpolator(channels=(16, 16, 16), layers=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(60):
        first, middle, second = moving_squares(4, generator)
        loss = F.l1_loss(model(first, second), middle)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    first, middle, second = moving_squares(16, torch.Generator().manual_seed(2))
    with torch.no_grad():
        gain = psnr(model(first, second), middle).mean() - psnr((first + second) / 2, middle).mean()
    assert gain > 2


def restless(channels: int = 16) -> FrameInterpolator:
    """An untrained network with random outputs: it moves pixels about."""
    torch.manual_seed(0)
    model = FrameInterpolator(channels=(channels,) * 3, layers=1, crop_size=SIZE).eval()
    for level in model.levels:
        torch.nn.init.normal_(level.out.weight, std=0.1)
        torch.nn.init.normal_(level.film.weight, std=0.1)
    return model


def random_frames(count: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, size, size, 3), dtype=np.uint8)


def test_saved_and_loaded_it_makes_the_same_frames(tmp_path: Path) -> None:
    model = restless()
    model.save_pretrained(tmp_path)
    assert [file.name for file in tmp_path.glob("*.safetensors")] == ["diffusion_pytorch_model.safetensors"]
    frames, mask = random_frames(7), np.ones((SIZE, SIZE), np.float32)
    cue = np.random.default_rng(1).random((5, 3, 2, 6), dtype=np.float32)
    made = interpolate(model, frames[:-2], frames[2:], frames[1:-1], mask, cue, batch_size=3)
    assert made.shape == (5, SIZE, SIZE, 3) and made.dtype == np.uint8
    loaded = load_interpolator(tmp_path)
    assert np.array_equal(interpolate(loaded, frames[:-2], frames[2:], frames[1:-1], mask, cue), made)


@pytest.mark.parametrize("size", [SIZE, 2 * SIZE])
def test_the_middle_frame_stays_what_it_is_outside_the_mask(size: int) -> None:
    frames = random_frames(3, size)
    mask = np.zeros((size, size), np.float32)
    mask[size // 2 : -4, 4:-4] = 1
    made = interpolate(restless(), frames[:1], frames[2:], frames[1:2], mask)
    assert np.array_equal(made[0][mask == 0], frames[1][mask == 0])
    assert not np.array_equal(made[0][mask > 0], frames[1][mask > 0])


def test_it_does_not_see_the_middle_frame_inside_the_mask() -> None:
    frames = random_frames(3)
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[16:, 4:-4] = 1
    other = frames[1:2].copy()
    other[0][mask > 0] = 0
    made = [interpolate(restless(), frames[:1], frames[2:], middle, mask) for middle in (frames[1:2], other)]
    assert np.array_equal(*made)


def test_it_hears() -> None:
    first, _, second = moving_squares(1, torch.Generator().manual_seed(0))
    model, cue = restless(), torch.rand(1, 3, 2, 6)
    with torch.no_grad():
        assert not torch.allclose(model(first, second, cue=cue), model(first, second, cue=1 - cue))


def test_the_box_holds_the_mask_on_a_grid() -> None:
    mask = np.zeros((64, 64), np.float32)
    mask[33:64, 10:50] = 1
    rows, columns = work_box(mask)
    assert (rows, columns) == (slice(24, 64), slice(0, 56))
    assert work_box(np.zeros((64, 64))) == (slice(0, 64), slice(0, 64))


def test_a_missing_network_is_told_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(MissingInterpolator) as caught:
        load_interpolator(tmp_path)
    assert "train --stage interpolator" in caught.value.remedy
