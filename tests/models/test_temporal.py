"""Temporal attention: nothing at first, AnimateDiff's own arithmetic afterwards, and windows that blend."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from diffusers import MotionAdapter, UNetMotionModel

from models.denoiser import Conditions, Denoiser, build_denoiser
from models.steering import Steering
from models.temporal import build_motion_adapter, context_windows, over_windows, window_weights

SD15 = {"block_out_channels": (16, 32, 32, 32), "cross_attention_dim": 24, "attention_head_dim": 2,
        "norm_num_groups": 8, "sample_size": 8}  # fmt: skip


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    torch.manual_seed(0)
    unet = build_denoiser("sd15", **SD15)
    return Denoiser(unet, motion_adapter=build_motion_adapter(unet)).eval()


@torch.no_grad()
def test_a_fresh_adapter_lets_no_frame_see_another(denoiser: Denoiser) -> None:
    torch.manual_seed(1)
    noisy, visual = torch.randn(4, 4, 8, 8), torch.randn(4, 9, 8, 8)
    apart = denoiser(noisy, torch.tensor(7), Conditions(visual))
    assert torch.equal(denoiser(noisy, torch.tensor(7), Conditions(visual, window=4)), apart)


@torch.no_grad()
def test_on_a_window_it_computes_what_unet_motion_model_does(denoiser: Denoiser) -> None:
    torch.manual_seed(1)
    unet = build_denoiser("sd15", **SD15).eval()
    adapter = build_motion_adapter(unet)
    for name, parameter in adapter.named_parameters():
        if "proj_out" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    public = UNetMotionModel.from_unet2d(unet, adapter).eval()
    sample, tokens = torch.randn(3, 13, 8, 8), torch.randn(1, 10, 24)
    expected = public(sample.transpose(0, 1)[None], torch.tensor(7), tokens.expand(3, -1, -1)).sample[0].transpose(0, 1)
    steering = Steering(sample[:, 4:], tokens.expand(3, -1, -1), window=3)
    ours = Denoiser(unet, motion_adapter=adapter).eval()(sample[:, :4], torch.tensor(7), steering)
    assert torch.allclose(ours, expected, atol=1e-4)
    apart = Denoiser(unet)(sample[:, :4], torch.tensor(7), steering)
    assert not torch.allclose(ours, apart, atol=1e-2)


def test_public_motion_modules_fit_at_sd15() -> None:
    with torch.device("meta"):
        ours, public = build_motion_adapter(build_denoiser("sd15")).state_dict(), MotionAdapter().state_dict()
    assert {name: value.shape for name, value in ours.items()} == {name: v.shape for name, v in public.items()}


@pytest.mark.parametrize(("count", "window", "overlap"), [(5, 16, 4), (16, 16, 4), (17, 16, 4), (50, 16, 4), (9, 4, 0)])
def test_windows_cover_every_frame_and_weights_sum_to_one(count: int, window: int, overlap: int) -> None:
    windows = context_windows(count, window, overlap)
    assert all(part.stop - part.start == min(window, count) for part in windows)
    assert all(later.start <= part.stop - overlap for part, later in pairwise(windows))
    weights = window_weights(windows, count)
    assert torch.allclose(weights.sum(0), torch.ones(count))
    assert float(weights.min()) >= 0
    blended = over_windows(lambda part: torch.arange(count)[part].float()[:, None], windows, count)
    assert torch.allclose(blended[:, 0], torch.arange(count).float(), atol=1e-4)


def test_windows_that_disagree_fade_into_each_other() -> None:
    windows = context_windows(12, 8, 4)
    values = iter([0.0, 1.0])
    blended = over_windows(lambda part: torch.full((8, 1), next(values)), windows, 12)[:, 0]
    assert (blended[:4] == 0).all() and (blended[8:] == 1).all()
    assert (blended.diff() >= 0).all() and blended.diff().max() < 0.3


def test_an_overlap_as_long_as_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        context_windows(9, 4, 4)
