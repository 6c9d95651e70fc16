"""The denoiser and its conditions: public shapes, and branches that start at zero."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DConditionModel

from models.conditions import AudioProjection, IdentityProjection, MaskEncoder
from models.denoiser import DENOISERS, Conditions, Denoiser, build_denoiser, visual_channels

TINY = {
    "block_out_channels": (16, 32, 32), "cross_attention_dim": 32, "sample_size": 4,
    "projection_class_embeddings_input_dim": 16,
}  # fmt: skip


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(
        build_denoiser("studio", **TINY).eval(),
        MaskEncoder(out_channels=16),
        IdentityProjection(8, 32, 2),
        AudioProjection(24, 32, 10, 16),
    ).eval()


@pytest.fixture
def conditions() -> Conditions:
    torch.manual_seed(1)
    return Conditions(
        visual=torch.randn(3, 9, 4, 4),
        mask=torch.ones(1, 1, 32, 32),
        audio_tokens=torch.randn(3, 10, 24),
        identity=torch.nn.functional.normalize(torch.randn(3, 8), dim=-1),
    )


def test_sd15_has_the_keys_and_shapes_of_public_checkpoints() -> None:
    with torch.device("meta"):
        ours = build_denoiser("sd15").state_dict()
        public = UNet2DConditionModel(in_channels=13, out_channels=4, cross_attention_dim=384, attention_head_dim=8)
    expected = {name: value.shape for name, value in public.state_dict().items()}
    assert len(expected) == 686
    assert {name: value.shape for name, value in ours.items()} == expected


def test_the_studio_denoiser_is_small_enough_to_ship() -> None:
    with torch.device("meta"):
        unet = build_denoiser("studio")
    assert sum(parameter.numel() for parameter in unet.parameters()) < 8e6
    assert unet.config.in_channels == 13
    assert unet.config.class_embed_type == DENOISERS["studio"]["class_embed_type"] == "simple_projection"


def test_added_branches_start_at_zero(denoiser: Denoiser, conditions: Conditions) -> None:
    noisy, steps = torch.randn(3, 4, 4, 4), torch.tensor([0, 500, 999])
    bare = Denoiser(denoiser.unet, None, None, denoiser.audio_projection)
    with torch.no_grad():
        assert torch.equal(denoiser(noisy, steps, conditions), bare(noisy, steps, conditions))


def test_dropping_a_condition_is_leaving_it_out(denoiser: Denoiser, conditions: Conditions) -> None:
    torch.nn.init.normal_(denoiser.identity_projection.attention.to_out[0].weight)
    noisy, steps = torch.randn(3, 4, 4, 4), torch.tensor(400)
    nothing = Conditions(conditions.visual, conditions.mask)
    with torch.no_grad():
        left_out = denoiser(noisy, steps, nothing)
        conditions.keep_audio = conditions.keep_identity = torch.tensor([0.0, 1.0, 1.0])
        dropped = denoiser(noisy, steps, conditions)
    assert torch.allclose(dropped[0], left_out[0], atol=1e-5)
    assert not torch.allclose(dropped[1], left_out[1], atol=1e-3)


def test_gradients_reach_every_parameter(denoiser: Denoiser, conditions: Conditions) -> None:
    torch.nn.init.normal_(denoiser.identity_projection.attention.to_out[0].weight)
    torch.nn.init.normal_(denoiser.mask_encoder.out.weight)
    denoiser(torch.randn(3, 4, 4, 4), torch.tensor([1, 2, 3]), conditions).square().sum().backward()
    assert [name for name, parameter in denoiser.named_parameters() if parameter.grad is None] == []
    denoiser.zero_grad()


def test_the_hook_is_gone_after_the_call(denoiser: Denoiser, conditions: Conditions) -> None:
    with torch.no_grad():
        denoiser(torch.randn(3, 4, 4, 4), torch.tensor(1), conditions)
    assert not denoiser.unet.conv_in._forward_hooks


def test_visual_channels_in_latentsyncs_order() -> None:
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 16:, :] = 1
    masked, reference = torch.full((2, 4, 4, 4), 2.0), torch.full((2, 4, 4, 4), 3.0)
    channels = visual_channels(mask, masked, reference)
    assert channels.shape == (2, 9, 4, 4)
    assert channels[0, 0, :, 0].tolist() == [0, 0, 1, 1]
    assert (channels[:, 1:5] == 2).all()
    assert (channels[:, 5:] == 3).all()


def test_a_window_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="10 audio tokens"):
        AudioProjection(24, 32, 10, 16)(torch.zeros(1, 9, 24))
