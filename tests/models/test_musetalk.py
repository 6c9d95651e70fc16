"""MuseTalk's checkpoint: the same latents as its own code in one evaluation, and clear words about bad files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.checkpoints import UnusableCheckpoint
from models.denoiser import Denoiser
from models.latentsync import load_latentsync
from models.musetalk import CONFIG, MUSETALK, AudioPositions, load_musetalk
from models.steering import Conditions
from tests.models.narrow_releases import CONTEXT, DATA, THIN, context, narrow_latentsync, narrow_musetalk, sample
from tests.models.test_checkpoints import Trap

FRAMES = 3
SETTINGS = {
    "_class_name": "UNet2DConditionModel", "act_fn": "silu", "attention_head_dim": 8, "center_input_sample": False,
    "block_out_channels": THIN, "cross_attention_dim": CONTEXT, "in_channels": 8, "out_channels": 4,
    "layers_per_block": 2, "norm_num_groups": 32,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("musetalk") / "unet.pth"
    torch.save(narrow_musetalk(), place)
    return place


@pytest.fixture(scope="module")
def thin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("thin") / "unet.pth"
    torch.save(narrow_musetalk(THIN), place)
    return place


@pytest.mark.parametrize("timestep", [0, 481])
@torch.no_grad()
def test_one_evaluation_gives_their_latents_whatever_the_noise(file: Path, timestep: int) -> None:
    checkpoint = load_musetalk(file)
    denoiser = Denoiser(checkpoint.unet, audio_projection=AudioPositions(CONTEXT), base=MUSETALK).eval()
    latents = sample(FRAMES)[:, 5:]  # masked and reference, what their code was given
    visual = torch.cat([torch.ones(FRAMES, 1, 8, 16), latents], dim=1)
    noise = torch.randn(FRAMES, 4, 8, 16)
    made = denoiser(noise, torch.tensor(timestep), Conditions(visual, audio_tokens=context(FRAMES)))
    recorded = load_file(DATA / "musetalk.safetensors")["latents"]
    assert (made - recorded).abs().max() < 1e-5
    assert recorded.std() > 0.1


def test_nothing_of_the_file_is_left_out(file: Path) -> None:
    checkpoint, given = load_musetalk(file), narrow_musetalk()
    assert checkpoint.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    loaded = checkpoint.unet.state_dict()
    assert loaded.keys() == given.keys()
    assert all(torch.equal(loaded[key], value) for key, value in given.items())


def test_the_published_configuration_is_kept_to(thin: Path, tmp_path: Path) -> None:
    beside, moved = tmp_path / CONFIG, tmp_path / "unet.pth"
    moved.write_bytes(thin.read_bytes())
    beside.write_text(json.dumps(SETTINGS))
    told, found = load_musetalk(moved).unet.config, load_musetalk(thin).unet.config
    names = [name for name in SETTINGS if not name.startswith("_")]
    assert [json.dumps(told[name]) for name in names] == [json.dumps(found[name]) for name in names]
    for wrong in (json.dumps(SETTINGS | {"cross_attention_dim": 24}), json.dumps({"widths": 3}), "no json", "[]"):
        beside.write_text(wrong)
        with pytest.raises(UnusableCheckpoint):
            load_musetalk(moved)


def test_bad_files_are_refused_with_the_cause(thin: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.pth"
    bad.write_bytes(thin.read_bytes()[:-4000])
    with pytest.raises(UnusableCheckpoint, match="cut off"):
        load_musetalk(bad)
    held = narrow_musetalk(THIN)
    gone = held.pop("conv_out.bias")
    torch.save(held, bad)
    with pytest.raises(UnusableCheckpoint, match=r"1 of 682 weights are missing \(conv_out\.bias\)"):
        load_musetalk(bad)
    torch.save(held | {"conv_out.bias": gone[:2]}, bad)
    with pytest.raises(UnusableCheckpoint, match=r"conv_out\.bias has the shape \[2\], MuseTalk wants \[4\]"):
        load_musetalk(bad)
    torch.save(held | {"conv_out.bias": Trap(tmp_path / "made-by-code")}, bad)
    with pytest.raises(UnusableCheckpoint, match="executable content"):
        load_musetalk(bad)
    assert not (tmp_path / "made-by-code").exists()


def test_the_other_projects_file_is_told_apart(thin: Path, tmp_path: Path) -> None:
    with pytest.raises(UnusableCheckpoint, match="LatentSync takes 13 input channels"):
        load_latentsync(thin)
    torch.save(narrow_latentsync(widths=THIN)["state_dict"], tmp_path / "other.pth")
    with pytest.raises(UnusableCheckpoint, match="MuseTalk takes 8 input channels"):
        load_musetalk(tmp_path / "other.pth")
    torch.save(narrow_latentsync(widths=THIN), tmp_path / "other.pth")
    with pytest.raises(UnusableCheckpoint, match="no state dict of MuseTalk"):
        load_musetalk(tmp_path / "other.pth")
