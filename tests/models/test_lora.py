"""Low-rank adapters: nothing at first, the attention's weights alone once trained, and gone when merged."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file

from models.denoiser import build_denoiser
from models.lora import FILE, add_lora, has_lora, merged, save_adapter

NARROW = {
    "block_out_channels": (8, 16), "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "layers_per_block": 1, "cross_attention_dim": 16,
    "attention_head_dim": 2, "norm_num_groups": 4, "sample_size": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def base() -> UNet2DConditionModel:
    torch.manual_seed(0)
    return build_denoiser("sd15", **NARROW).eval()


def predicted(unet: UNet2DConditionModel) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    sample, context = (torch.randn(shape, generator=generator) for shape in ((2, 13, 8, 8), (2, 5, 16)))
    with torch.no_grad():
        return unet(sample, torch.tensor([3, 700]), context).sample


def tuned(base: UNet2DConditionModel, rank: int = 4, alpha: int = 8) -> UNet2DConditionModel:
    """A copy with adapters that are not zero."""
    unet = copy.deepcopy(base)
    add_lora(unet, rank, alpha)
    torch.manual_seed(2)
    for name, weight in unet.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return unet


def test_fresh_adapters_change_nothing_and_are_all_that_is_trained(base: UNet2DConditionModel) -> None:
    unet = copy.deepcopy(base)
    before = torch.get_rng_state()
    add_lora(unet, 4, 4)
    assert torch.equal(torch.get_rng_state(), before), "the random state of the process is its own"
    assert torch.equal(predicted(unet), predicted(base))
    trained = [name for name, weight in unet.named_parameters() if weight.requires_grad]
    attentions = sum(name.endswith((".attn1", ".attn2")) for name, _ in base.named_modules())
    assert len(trained) == attentions * 4 * 2 and all(".lora_" in name for name in trained)


def test_the_seed_decides_what_they_begin_with(base: UNet2DConditionModel) -> None:
    one, same, other = (copy.deepcopy(base) for _ in range(3))
    for unet, seed in ((one, 0), (same, 0), (other, 1)):
        torch.rand(3)
        add_lora(unet, 4, 4, seed=seed)
    first, again, else_ = (dict(unet.named_parameters()) for unet in (one, same, other))
    name = next(name for name in first if "lora_A" in name)
    assert torch.equal(first[name], again[name]) and not torch.equal(first[name], else_[name])


def test_merging_gives_the_same_prediction_under_the_base_s_own_keys(base: UNet2DConditionModel) -> None:
    unet = tuned(base)
    whole = merged(unet)
    assert has_lora(unet) and not has_lora(whole)
    assert not torch.allclose(predicted(unet), predicted(base), atol=1e-3)
    assert torch.allclose(predicted(whole), predicted(unet), atol=1e-5)
    plain, now, kept = base.state_dict(), whole.state_dict(), unet.state_dict()
    assert list(now) == list(plain)
    for name, value in plain.items():
        aimed = any(f".{target}.weight" in name for target in ("to_q", "to_k", "to_v", "to_out.0"))
        assert torch.equal(now[name], value) is not aimed, name
        path, _, last = name.rpartition(".")
        assert torch.equal(kept.get(name, kept.get(f"{path}.base_layer.{last}")), value), "the base is never touched"


def test_a_merged_unet_is_saved_and_loaded_as_any_other(base: UNet2DConditionModel, tmp_path: Path) -> None:
    whole = merged(tuned(base))
    whole.save_pretrained(tmp_path)
    again = UNet2DConditionModel.from_pretrained(tmp_path)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in whole.state_dict().items())
    assert torch.allclose(predicted(again), predicted(whole), atol=1e-5)


def test_the_adapter_s_file_brings_a_base_to_the_same_place(base: UNet2DConditionModel, tmp_path: Path) -> None:
    unet = tuned(base, rank=2, alpha=6)
    file = save_adapter(unet, tmp_path)
    assert file == tmp_path / FILE and all(".lora_" in name for name in load_file(file))
    again = copy.deepcopy(base)
    again.load_lora_adapter(str(tmp_path), weight_name=FILE, prefix=None)
    assert torch.allclose(predicted(again), predicted(unet), atol=1e-6)


def test_nothing_in_the_adapter_s_file_has_an_order_of_its_own(base: UNet2DConditionModel, tmp_path: Path) -> None:
    """The registry goes by content; sets and several entries of metadata are ordered differently in each process."""
    with safe_open(save_adapter(tuned(base), tmp_path), "pt") as stored:
        about = stored.metadata()
    assert len(about) == 1
    (settings,) = (json.loads(value) for value in about.values())
    assert settings["r"] == 4 and isinstance(settings["target_modules"], str)


def test_what_cannot_be_adapted_is_said(base: UNet2DConditionModel) -> None:
    with pytest.raises(ValueError, match="wings"):
        add_lora(copy.deepcopy(base), 4, 4, ("wings",))
    with pytest.raises(ValueError, match="already"):
        add_lora(tuned(base), 4, 4)
