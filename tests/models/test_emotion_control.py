"""The emotion branch: it starts at zero, can be left out, saves itself, and learns to tell pairs apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import ControlNetModel
from torch.nn import functional as F

from models.conditions import AudioProjection
from models.denoiser import Conditions, Denoiser, build_denoiser
from models.emotion_control import EmotionControl, EmotionSpace, build_emotion
from models.losses import info_nce

TINY = {
    "block_out_channels": (16, 32, 32), "cross_attention_dim": 32, "sample_size": 4,
    "projection_class_embeddings_input_dim": 16,
}  # fmt: skip


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape), dim=-1)


@pytest.fixture
def denoiser() -> Denoiser:
    torch.manual_seed(0)
    unet = build_denoiser("studio", **TINY)
    space, control = build_emotion(unet, text_dim=12, image_dim=8, dim=16)
    built = Denoiser(
        unet, audio_projection=AudioProjection(24, 32, 10, 16), emotion_space=space, emotion_control=control
    )
    return built.eval()


@pytest.fixture
def conditions() -> Conditions:
    torch.manual_seed(1)
    return Conditions(
        visual=torch.randn(3, 9, 4, 4),
        mask=torch.ones(1, 1, 32, 32),
        audio_tokens=torch.randn(3, 10, 24),
        emotion=unit(3, 12),
        emotion_image=unit(3, 8),
    )


def wake(control: EmotionControl) -> None:
    """Give the outputs that start at zero something to say."""
    torch.manual_seed(2)
    for name, parameter in control.named_parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3 if name.startswith("controlnet") else 0.5)


NOISY = torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def test_it_starts_at_zero(denoiser: Denoiser, conditions: Conditions) -> None:
    bare = Denoiser(denoiser.unet, audio_projection=denoiser.audio_projection)
    for timesteps in (torch.tensor(999), torch.tensor([0, 500, 999])):
        assert torch.equal(denoiser(NOISY, timesteps, conditions), bare(NOISY, timesteps, conditions))


@torch.no_grad()
def test_dropping_the_emotion_is_leaving_it_out(denoiser: Denoiser, conditions: Conditions) -> None:
    wake(denoiser.emotion_control)
    without = denoiser(NOISY, torch.tensor(400), replace(conditions, emotion=None))
    dropped = denoiser(NOISY, torch.tensor(400), replace(conditions, keep_emotion=torch.tensor([0.0, 1.0, 1.0])))
    assert torch.allclose(dropped[0], without[0], atol=1e-5)
    assert not torch.allclose(dropped[1], without[1], atol=1e-3)


@torch.no_grad()
def test_the_features_hold_for_every_step(denoiser: Denoiser, conditions: Conditions) -> None:
    wake(denoiser.emotion_control)
    calls: list[int] = []
    denoiser.emotion_control.register_forward_hook(lambda *_: calls.append(1))
    prepared = denoiser.prepare(conditions)
    for step in (900, 100):
        expected = denoiser(NOISY, torch.tensor(step), conditions)
        assert torch.equal(denoiser(NOISY, torch.tensor(step), prepared), expected)
    assert len(calls) == 3  # once for `prepared`, twice for the calls without it


def test_gradients_reach_every_parameter(denoiser: Denoiser, conditions: Conditions) -> None:
    wake(denoiser.emotion_control)
    torch.nn.init.normal_(denoiser.emotion_space.mix[-1].weight)
    denoiser(NOISY, torch.tensor([1, 2, 3]), replace(conditions, emotion_image=None)).square().sum().backward()
    branch = {**dict(denoiser.emotion_control.named_parameters()), "none": denoiser.emotion_space.no_image}
    # the ControlNet's middle attention and its last zero convolution included
    assert [name for name, parameter in branch.items() if parameter.grad is None] == []


def test_fresh_it_learns_from_the_first_step(denoiser: Denoiser, conditions: Conditions) -> None:
    denoiser(NOISY, torch.tensor([1, 2, 3]), conditions).square().sum().backward()
    outputs = [denoiser.emotion_control.reader.attention.to_out[0], denoiser.emotion_control.pool[-1]]
    outputs += [denoiser.emotion_control.controlnet.controlnet_mid_block]
    assert all(output.weight.grad.abs().max() > 0 for output in outputs)


def test_the_joint_embedding_begins_as_the_texts(conditions: Conditions) -> None:
    space = EmotionSpace(12, 8, 16)
    joint = space.joint(conditions.emotion, conditions.emotion_image)
    assert torch.allclose(joint, space.embed_text(conditions.emotion), atol=1e-6)
    assert torch.allclose(joint.norm(dim=-1), torch.ones(3), atol=1e-5)


def test_saved_and_loaded_it_says_the_same(denoiser: Denoiser, conditions: Conditions, tmp_path: Path) -> None:
    wake(denoiser.emotion_control)
    denoiser.emotion_space.save_pretrained(tmp_path / "space")
    denoiser.emotion_control.save_pretrained(tmp_path / "control")
    loaded = EmotionSpace.from_pretrained(tmp_path / "space"), EmotionControl.from_pretrained(tmp_path / "control")
    again = Denoiser(denoiser.unet, None, None, denoiser.audio_projection, *loaded).eval()
    with torch.no_grad():
        expected = denoiser(NOISY, torch.tensor(7), conditions)
        assert torch.equal(again(NOISY, torch.tensor(7), conditions), expected)


def test_at_sd15_size_it_is_a_public_controlnet() -> None:
    with torch.device("meta"):
        unet = build_denoiser("sd15")
        control = build_emotion(unet, text_dim=768)[1]
        public = ControlNetModel.from_unet(unet, conditioning_channels=1, load_weights_from_unet=False)
    ours, theirs = control.controlnet.state_dict(), public.state_dict()
    shapes = {name: value.shape for name, value in theirs.items() if name != "conv_in.weight"}
    assert {name: value.shape for name, value in ours.items() if name != "conv_in.weight"} == shapes
    assert sum(parameter.numel() for parameter in control.parameters()) == pytest.approx(358e6, rel=0.01)


def test_info_nce_is_clips_loss_without_labels() -> None:
    first, second = unit(5, 8), unit(5, 8)
    logits, order = first @ second.T * 10, torch.arange(5)
    expected = (F.cross_entropy(logits, order) + F.cross_entropy(logits.T, order)) / 2
    assert torch.allclose(info_nce(first, second, 10.0), expected, atol=1e-6)


def test_rows_of_one_label_do_not_repel_each_other() -> None:
    first = torch.eye(4)[[0, 0, 1]]
    labels = torch.tensor([0, 0, 1])
    # the best there is for two positives: ln 2 for each of those rows, next to nothing for the third
    assert float(info_nce(first, first, 100.0, labels)) == pytest.approx(2 / 3 * 0.6931, abs=1e-3)
    apart = torch.eye(4)[[0, 2, 1]]
    assert info_nce(apart, apart, 100.0, labels) > info_nce(first, first, 100.0, labels) + 10


def test_a_few_steps_pair_texts_with_pictures() -> None:
    torch.manual_seed(0)
    space, labels = EmotionSpace(12, 8, 16, hidden=32), torch.arange(8).repeat(4)
    text, image = unit(8, 12)[labels], F.normalize(unit(8, 8)[labels] + 0.1 * torch.randn(32, 8), dim=-1)
    optimizer = torch.optim.AdamW(space.parameters(), lr=3e-3)
    for _ in range(60):
        loss = info_nce(*space(text, image), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    said, seen, _ = space(text, image)
    assert (labels[(seen @ said.T).argmax(1)] == labels).float().mean() > 0.95
