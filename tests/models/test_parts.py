"""All parts of the method beside one U-Net: they start at zero, can be left out one by one, and fit sd15."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch.nn import functional as F

from models.action_units import AUS, ActionUnitEncoder
from models.conditions import AudioProjection, IdentityProjection, MaskEncoder
from models.denoiser import Conditions, Denoiser, build_denoiser
from models.emotion_control import build_emotion
from models.fusion import LEVELS, build_fusion
from models.temporal import build_motion_adapter
from tasks.studio import controls

STUDIO = {
    "block_out_channels": (16, 32, 32), "cross_attention_dim": 32, "sample_size": 4,
    "projection_class_embeddings_input_dim": 16,
}  # fmt: skip
SD15 = {"block_out_channels": (16, 32, 32, 32), "cross_attention_dim": 24, "attention_head_dim": 2,
        "norm_num_groups": 8, "sample_size": 8}  # fmt: skip
KEEPS = {
    "audio_tokens": "keep_audio", "identity": "keep_identity", "emotion": "keep_emotion",
    "action_units": "keep_action_units",
}  # fmt: skip


def whole(unet: UNet2DConditionModel) -> Denoiser:
    """Every part, freshly made, round `unet`."""
    config = unet.config
    width, pooled = config.cross_attention_dim, config.projection_class_embeddings_input_dim
    space, control = build_emotion(unet, text_dim=12, image_dim=8, dim=16)
    denoiser = Denoiser(
        unet,
        MaskEncoder(out_channels=config.block_out_channels[0]),
        IdentityProjection(8, width, 2),
        AudioProjection(24, width, 10, pooled) if pooled else None,
        space,
        control,
        ActionUnitEncoder(len(AUS), width, pooled_dim=pooled),
        build_fusion(unet),
        build_motion_adapter(unet),
    )
    return denoiser.eval()


def conditions_for(denoiser: Denoiser, batch: int, window: int | None) -> Conditions:
    torch.manual_seed(1)
    side = denoiser.unet.config.sample_size
    return Conditions(
        visual=torch.randn(batch, 9, side, side),
        mask=torch.ones(1, 1, 8 * side, 8 * side),
        audio_tokens=torch.randn(batch, 10, 24),
        identity=F.normalize(torch.randn(batch, 8), dim=-1),
        emotion=F.normalize(torch.randn(batch, 12), dim=-1),
        emotion_image=F.normalize(torch.randn(1, 8), dim=-1),
        action_units=torch.rand(batch, len(AUS)),
        window=window,
    )


def wake(denoiser: Denoiser) -> None:
    """Give every output that starts at zero something to say."""
    torch.manual_seed(2)
    for parameter in denoiser.parameters():
        if parameter.numel() > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)


@pytest.fixture(params=["studio", "sd15"])
def denoiser(request: pytest.FixtureRequest) -> Denoiser:
    torch.manual_seed(0)
    return whole(build_denoiser(request.param, **{"studio": STUDIO, "sd15": SD15}[request.param]))


def noisy_for(conditions: Conditions) -> torch.Tensor:
    return torch.randn(len(conditions.visual), 4, *conditions.visual.shape[-2:])


def test_action_units_are_the_studios() -> None:
    assert AUS == controls.AUS


@torch.no_grad()
def test_freshly_made_all_parts_change_nothing(denoiser: Denoiser) -> None:
    conditions = conditions_for(denoiser, 6, window=3)
    noisy, timesteps = noisy_for(conditions), torch.tensor([0, 0, 0, 999, 999, 999])
    bare = Denoiser(denoiser.unet, audio_projection=denoiser.audio_projection)
    assert torch.equal(denoiser(noisy, timesteps, conditions), bare(noisy, timesteps, conditions))


@torch.no_grad()
def test_dropped_is_left_out_for_every_condition(denoiser: Denoiser) -> None:
    wake(denoiser)
    conditions = conditions_for(denoiser, 2, window=2)
    noisy, timestep = noisy_for(conditions), torch.tensor(400)
    everything = denoiser(noisy, timestep, conditions)
    for name, keep in KEEPS.items():
        dropped = denoiser(noisy, timestep, replace(conditions, **{keep: torch.zeros(2)}))
        assert not torch.allclose(dropped, everything, atol=1e-3), name
        if name == "audio_tokens" and denoiser.audio_projection is None:
            left_out = denoiser(
                noisy, timestep, replace(conditions, audio_tokens=torch.zeros(2, 10, 24), keep_audio=torch.zeros(2))
            )
        else:
            left_out = denoiser(noisy, timestep, replace(conditions, **{name: None}))
        assert torch.allclose(dropped, left_out, atol=1e-4), name
    nothing = Conditions(conditions.visual)
    assert denoiser(noisy, timestep, nothing).isfinite().all()


def test_gradients_reach_every_part(denoiser: Denoiser) -> None:
    wake(denoiser)
    denoiser.train()
    conditions = conditions_for(denoiser, 4, window=2)
    denoiser(noisy_for(conditions), torch.tensor(5), conditions).square().sum().backward()
    never = {"emotion_space.log_scale", "emotion_space.no_image"}  # the contrast's own, and for unknown people
    missing = {name for name, parameter in denoiser.named_parameters() if parameter.grad is None}
    assert missing == never


def test_fresh_parts_learn_from_the_first_step(denoiser: Denoiser) -> None:
    conditions = conditions_for(denoiser, 4, window=2)
    denoiser(noisy_for(conditions), torch.tensor(5), conditions).square().sum().backward()
    outputs = {
        "level_fusion": [adapter.out.weight for adapter in denoiser.level_fusion.adapters],
        "action_units": [denoiser.action_unit_encoder.reader.attention.to_out[0].weight],
        "emotion": [denoiser.emotion_control.reader.attention.to_out[0].weight],
        "temporal": [value for name, value in denoiser.motion_adapter.named_parameters() if "proj_out.weight" in name],
    }
    for name, weights in outputs.items():
        assert weights and all(weight.grad.abs().max() > 0 for weight in weights), name


@torch.no_grad()
def test_each_level_of_fusion_listens_to_its_own_kinds() -> None:
    torch.manual_seed(0)
    denoiser = whole(build_denoiser("studio", **STUDIO))
    fusion, tokens = (
        denoiser.level_fusion,
        {name: torch.randn(2, 3, 32) for name in ("emotion", "audio", "action_units")},
    )
    fused = fusion.fuse(tokens, {"emotion": torch.tensor([1.0, 0.0])}, torch.randn(2, 9, 4, 4), 2)
    # the token that is always there, 3 of each kind
    assert {level: part.shape[1] for level, (part, _) in fused.items()} == {"global": 4, "middle": 4, "local": 7}
    assert set(fused) == set(LEVELS)
    assert fused["global"][1].tolist() == [[True] * 4, [True, False, False, False]]
    assert fusion.levels == ("global", "middle", "local")
    still = fusion.fuse(tokens, {}, torch.zeros(2, 9, 4, 4), 2)
    torch.nn.init.normal_(fusion.moved.weight)
    moving = fusion.fuse(tokens, {}, torch.randn(2, 9, 4, 4), 2)
    for level in LEVELS:
        assert not torch.allclose(still[level][0], moving[level][0], atol=1e-3), "all know of the motion"


@torch.no_grad()
def test_motion_is_what_differs_from_frame_to_frame() -> None:
    motion = whole(build_denoiser("studio", **STUDIO)).level_fusion.motion
    still = torch.randn(1, 4, 8, 8).expand(3, -1, -1, -1)
    moving = torch.cat([still[:2], still[2:] + 1])
    tokens, resting = motion(moving, 3), motion(still, 3)
    assert torch.allclose(tokens[0], resting[0], atol=1e-6)
    assert not torch.allclose(tokens[1:], resting[1:], atol=1e-3)


def test_the_wrong_number_of_action_units_is_refused() -> None:
    with pytest.raises(ValueError, match="20 action units"):
        ActionUnitEncoder()(torch.zeros(1, 17))


def test_sizes_on_the_meta_device() -> None:
    counts: dict[str, dict[str, float]] = {}
    for profile in ("studio", "sd15"):
        with torch.device("meta"):
            denoiser = whole(build_denoiser(profile))
        parts = {name: sum(p.numel() for p in part.parameters()) / 1e6 for name, part in denoiser.named_children()}
        counts[profile] = {name: round(count, 2) for name, count in parts.items() if count}
    assert counts["sd15"]["unet"] == pytest.approx(850, abs=1)
    assert counts["sd15"]["motion_adapter"] == pytest.approx(454, abs=2)
    assert sum(counts["studio"].values()) < 14  # float16: the pack stays under 32 MB
