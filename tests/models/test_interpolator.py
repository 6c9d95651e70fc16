"""The frame interpolator: the mean at first, better than the mean after a few steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from models.interpolator import FrameInterpolator, interpolate, warp
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
    model = FrameInterpolator(channels=16, layers=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(80):
        first, middle, second = moving_squares(4, generator)
        loss = F.l1_loss(model(first, second), middle)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    first, middle, second = moving_squares(16, torch.Generator().manual_seed(2))
    with torch.no_grad():
        gain = psnr(model(first, second), middle).mean() - psnr((first + second) / 2, middle).mean()
    assert gain > 2


def test_saved_and_loaded_it_makes_the_same_frames(tmp_path: Path) -> None:
    model = FrameInterpolator(channels=16, layers=1)
    for level in model.levels:
        torch.nn.init.normal_(level.out.weight, std=0.1)
    model.save_pretrained(tmp_path)
    assert [file.name for file in tmp_path.glob("*.safetensors")] == ["diffusion_pytorch_model.safetensors"]
    frames = np.random.default_rng(0).integers(0, 255, (5, SIZE, SIZE, 3), dtype=np.uint8)
    made = interpolate(model, frames[:-1], frames[1:], batch_size=3)
    assert made.shape == (4, SIZE, SIZE, 3) and made.dtype == np.uint8
    assert np.array_equal(
        interpolate(FrameInterpolator.from_pretrained(tmp_path).eval(), frames[:-1], frames[1:]), made
    )
