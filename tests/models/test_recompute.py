"""Activations computed anew in the backward pass: the same gradients, whatever hooks there are, from less memory."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.action_units import AUS
from models.latentsync import LATENTSYNC
from models.musetalk import MUSETALK
from models.pipeline import DubPipeline, add_parts, build_pipeline
from models.steering import Conditions
from tests.models.narrow_releases import narrow_vae

FRAMES, WINDOW = 8, 4
NARROW = {
    "block_out_channels": (16, 32), "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "cross_attention_dim": 16, "attention_head_dim": 2,
    "norm_num_groups": 8, "sample_size": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def pipeline() -> DubPipeline:
    """A base that normalises over windows, with temporal layers and all branches awake: nothing in it is zero."""
    torch.manual_seed(0)
    built = build_pipeline("sd15", narrow_vae(), 64, identity_dim=8, audio_dim=16, unet=NARROW)
    base = {**vars(LATENTSYNC)}
    built = DubPipeline(**built.components, **(built.settings | {"base": base}))
    built = add_parts(built, text_dim=8, image_dim=8, identity_dim=8)
    for weight in built.denoiser.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    return built


def given(window: int | None) -> tuple[Tensor, Tensor, Conditions]:
    made = torch.Generator().manual_seed(1)

    def random(*shape: int) -> Tensor:
        return torch.randn(FRAMES, *shape, generator=made)

    conditions = Conditions(
        random(9, 8, 8), torch.ones(1, 1, 64, 64), random(5, 16), random(8), emotion=random(8),
        emotion_image=random(8), action_units=random(len(AUS)), window=window,
    )  # fmt: skip
    return random(4, 8, 8), torch.full((FRAMES,), 300), conditions


def gradients(pipeline: DubPipeline, window: int | None, recompute: bool) -> tuple[Tensor, dict[str, Tensor], int]:
    """The prediction, every weight's gradient, and the bytes that were kept for the backward pass."""
    denoiser = copy.deepcopy(pipeline).denoiser
    if recompute:
        denoiser.recompute()
    weights = {weight.untyped_storage().data_ptr() for weight in denoiser.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(value: Tensor) -> Tensor:
        if value.untyped_storage().data_ptr() not in weights:
            kept[value.untyped_storage().data_ptr()] = value
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        made = denoiser(*given(window))
    made.square().mean().backward()
    found = {name: weight.grad for name, weight in denoiser.named_parameters() if weight.grad is not None}
    return made.detach(), found, sum(value.untyped_storage().nbytes() for value in kept.values())


@pytest.mark.parametrize("window", [WINDOW, None])
def test_gradients_are_the_same_from_less_memory(pipeline: DubPipeline, window: int | None) -> None:
    made, expected, whole = gradients(pipeline, window, recompute=False)
    again, found, kept = gradients(pipeline, window, recompute=True)
    assert torch.equal(made, again)
    assert set(found) == set(expected) and any(name.startswith("motion_adapter") for name in found) is bool(window)
    for name, gradient in expected.items():
        assert torch.allclose(found[name], gradient, atol=1e-6 * float(gradient.abs().max()) + 1e-9), name
    assert kept < 0.7 * whole


def test_a_direct_base_too(pipeline: DubPipeline) -> None:
    direct = copy.deepcopy(pipeline)
    narrow = replace(MUSETALK, alignment="studio")
    unet = copy.deepcopy(direct.unet)
    unet.conv_in = torch.nn.Conv2d(8, 16, 3, padding=1)
    parts = direct.components | {"unet": unet, "motion_adapter": None}
    direct = DubPipeline(**parts, **(direct.settings | {"base": vars(narrow)}))
    made, expected, _ = gradients(direct, None, recompute=False)
    again, found, _ = gradients(direct, None, recompute=True)
    assert torch.equal(made, again)
    assert all(torch.allclose(found[name], expected[name], rtol=1e-4, atol=1e-7) for name in expected)


def test_what_is_rendered_is_not_touched(pipeline: DubPipeline) -> None:
    denoiser = copy.deepcopy(pipeline).denoiser
    with torch.no_grad():
        before = denoiser(*given(WINDOW))
        denoiser.recompute()
        assert torch.equal(denoiser(*given(WINDOW)), before)
