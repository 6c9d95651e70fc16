"""Stable Diffusion 1.5's parts on narrow folders of the real layout: widened without a change, read as data alone."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from models.autoencoder import build_autoencoder, decode, encode
from models.checkpoints import MissingCheckpoint, UnusableCheckpoint
from models.denoiser import build_denoiser
from models.sd15 import WEIGHTS, load_sd15_unet, load_sd15_vae

NARROW = {
    "sample_size": 8, "block_out_channels": (16, 32), "layers_per_block": 1, "norm_num_groups": 8,
    "attention_head_dim": 8, "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}  # fmt: skip


@pytest.fixture(params=[4, 9])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[UNet2DConditionModel, Path]:
    """A narrow base (4 channels) or inpainting (9) U-Net, and the folder it was saved to."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(in_channels=request.param, out_channels=4, cross_attention_dim=24, **NARROW).eval()
    unet.save_pretrained(tmp_path / "unet")
    return unet, tmp_path / "unet"


@torch.no_grad()
def test_the_widened_unet_predicts_exactly_what_the_base_does(base: tuple[UNet2DConditionModel, Path]) -> None:
    unet, folder = base
    wide = load_sd15_unet(folder).eval()
    assert wide.conv_in.weight.shape[1] == wide.config["in_channels"] == 13
    own = unet.config["in_channels"]
    assert torch.equal(wide.conv_in.weight[:, own:], torch.zeros_like(wide.conv_in.weight[:, own:]))
    sample, steps, context = torch.randn(2, 13, 8, 8), torch.tensor([7, 400]), torch.randn(2, 5, 24)
    assert torch.equal(wide(sample, steps, context).sample, unet(sample[:, :own], steps, context).sample)


def test_it_is_saved_and_loaded_as_a_unet_of_thirteen_channels(
    base: tuple[UNet2DConditionModel, Path], tmp_path: Path
) -> None:
    wide = load_sd15_unet(base[1], cross_attention_dim=12)
    wide.save_pretrained(tmp_path / "again")
    again = UNet2DConditionModel.from_pretrained(str(tmp_path / "again"), low_cpu_mem_usage=False)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in wide.state_dict().items())
    ours = build_denoiser(NARROW, cross_attention_dim=12)  # what the pipeline builds
    assert {name: value.shape for name, value in ours.state_dict().items()} == {
        name: value.shape for name, value in again.state_dict().items()
    }


@torch.no_grad()
def test_a_context_of_another_width_costs_nothing_but_its_keys_and_values(
    base: tuple[UNet2DConditionModel, Path],
) -> None:
    unet, folder = base
    wide = load_sd15_unet(folder, cross_attention_dim=12)
    before, after = unet.state_dict(), wide.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if ".attn2.to_k" in name or ".attn2.to_v" in name} | {"conv_in.weight"}
    assert wide(torch.randn(1, 13, 8, 8), 3, torch.randn(1, 5, 12)).sample.shape == (1, 4, 8, 8)


@pytest.mark.slow
def test_at_full_size_it_has_the_shapes_of_the_sd15_profile() -> None:
    with torch.device("meta"):
        ours = build_denoiser("sd15", cross_attention_dim=768)
        public = UNet2DConditionModel(
            sample_size=64, in_channels=4, out_channels=4, layers_per_block=2, cross_attention_dim=768,
            block_out_channels=(320, 640, 1280, 1280), attention_head_dim=8,
        )  # fmt: skip
    mine = {name: tuple(value.shape) for name, value in ours.state_dict().items()}
    theirs = {name: tuple(value.shape) for name, value in public.state_dict().items()}
    assert len(mine) == 686
    assert {name for name in mine if mine[name] != theirs.get(name)} == {"conv_in.weight"}


@torch.no_grad()
def test_the_autoencoder_loads_as_it_was_saved(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vae = build_autoencoder("sd15", block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4)
    vae.eval().save_pretrained(tmp_path / "vae")
    loaded = load_sd15_vae(tmp_path / "vae")
    assert isinstance(loaded, AutoencoderKL)
    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    assert torch.equal(encode(loaded, picture), encode(vae, picture))
    assert decode(loaded, encode(loaded, picture)).shape == picture.shape
    assert loaded.config["scaling_factor"] == 0.18215


def test_only_whole_safetensors_are_read(base: tuple[UNet2DConditionModel, Path]) -> None:
    unet, folder = base
    weights = folder / WEIGHTS
    whole = weights.read_bytes()
    for spoiled in (whole[:-64], whole[:5], b"", pickle.dumps({"code": print})):
        weights.write_bytes(spoiled)
        with pytest.raises(UnusableCheckpoint, match="cannot be loaded") as caught:
            load_sd15_unet(folder)
        assert "sd15_unet" in caught.value.remedy
    weights.unlink()
    torch.save(unet.state_dict(), folder / "diffusion_pytorch_model.bin")
    with pytest.raises(UnusableCheckpoint, match=r"no diffusion_pytorch_model\.safetensors") as caught:
        load_sd15_unet(folder)
    assert "may hold code" in caught.value.remedy
    with pytest.raises(MissingCheckpoint):
        load_sd15_vae(folder / "nothing")


def test_weights_of_other_shapes_than_the_config_says_are_refused(base: tuple[UNet2DConditionModel, Path]) -> None:
    _, folder = base
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"cross_attention_dim": 40}))
    with pytest.raises(UnusableCheckpoint):
        load_sd15_unet(folder)


def test_more_channels_than_asked_for_are_refused(base: tuple[UNet2DConditionModel, Path]) -> None:
    unet, folder = base
    with pytest.raises(UnusableCheckpoint, match="input channels"):
        load_sd15_unet(folder, in_channels=unet.config["in_channels"] - 1)
