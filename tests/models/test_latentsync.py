"""LatentSync's checkpoints: the same numbers as its own code, whole windows, and clear words about bad files."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.checkpoints import MissingCheckpoint, UnusableCheckpoint
from models.conventions import Conventions
from models.denoiser import Denoiser
from models.latentsync import LATENTSYNC, LatentSyncCheckpoint, load_latentsync
from models.steering import Steering
from tests.models.narrow_releases import (
    DATA,
    THIN,
    TIMESTEP,
    WIDTHS,
    Motion,
    context,
    narrow_latentsync,
    sample,
)
from tests.models.test_checkpoints import Trap


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with plain.pt, decoder.pt and full.pt."""
    folder = tmp_path_factory.mktemp("latentsync")
    for motion in ("plain", "decoder", "full"):
        torch.save(narrow_latentsync(motion), folder / f"{motion}.pt")
    return folder


def predict(checkpoint: LatentSyncCheckpoint, frames: int, base: Conventions = LATENTSYNC) -> torch.Tensor:
    """The denoiser's answer to the recorded input, as one window; the mask channel is given as the U-Net takes it."""
    denoiser = Denoiser(checkpoint.unet, motion_adapter=checkpoint.motion, base=base).eval()
    given = sample(frames)
    with torch.no_grad():
        return denoiser(given[:, :4], torch.tensor(TIMESTEP), Steering(given[:, 4:], context(frames), window=frames))


@pytest.mark.parametrize(
    ("motion", "frames"), [("plain", 1), ("plain", 16), ("decoder", 16), ("full", 1), ("full", 16)]
)
def test_it_computes_what_their_code_computes(files: Path, motion: Motion, frames: int) -> None:
    recorded = load_file(DATA / "latentsync.safetensors")[f"{motion}_{frames}"]
    made = predict(load_latentsync(files / f"{motion}.pt"), frames)
    assert (made - recorded).abs().max() < 1e-5
    assert recorded.std() > 0.1


@pytest.mark.parametrize("motion", ["plain", "full"])
def test_without_their_norms_a_window_comes_out_otherwise(files: Path, motion: Motion) -> None:
    recorded = load_file(DATA / "latentsync.safetensors")[f"{motion}_16"]
    checkpoint = load_latentsync(files / f"{motion}.pt")
    assert (predict(checkpoint, 16, Conventions()) - recorded).abs().max() > 0.1


def test_nothing_of_the_file_is_left_out(files: Path) -> None:
    given = narrow_latentsync("full")
    checkpoint = load_latentsync(files / "full.pt")
    assert checkpoint.global_step == 12000
    assert checkpoint.sha256 == hashlib.sha256((files / "full.pt").read_bytes()).hexdigest()
    assert checkpoint.motion is not None and checkpoint.motion.mid_block is None
    assert checkpoint.motion.config["motion_max_seq_length"] == 24
    assert tuple(checkpoint.unet.config["block_out_channels"]) == WIDTHS
    spatial = {key: value for key, value in given["state_dict"].items() if ".motion_modules." not in key}
    loaded = checkpoint.unet.state_dict()
    assert loaded.keys() == spatial.keys() and len(spatial) == 686
    assert all(torch.equal(loaded[key], value) for key, value in spatial.items())
    assert len(given["state_dict"]) - len(spatial) == 560
    assert load_latentsync(files / "plain.pt").motion is None


def test_half_precision_and_safetensors_load_too(files: Path, tmp_path: Path) -> None:
    weights = {key: value.half() for key, value in narrow_latentsync(widths=THIN)["state_dict"].items()}
    save_file(weights, tmp_path / "half.safetensors")
    checkpoint = load_latentsync(tmp_path / "half.safetensors")
    assert checkpoint.global_step is None
    assert checkpoint.unet.dtype == torch.float32
    assert torch.equal(checkpoint.unet.conv_in.weight, weights["conv_in.weight"].float())


def spoilt(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    held = narrow_latentsync("full", THIN)
    change(held["state_dict"])
    return held


NORM = "mid_block.resnets.0.norm1.weight"
TEMPORAL = "up_blocks.0.motion_modules.1.temporal_transformer."


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda held: held.pop(NORM), rf"1 of 682 weights are missing \({NORM}\)"),
        (lambda held: held.pop("conv_in.weight"), r"conv_in\.weight is missing"),
        (lambda held: held.pop("down_blocks.1.resnets.0.conv1.weight"), "missing"),
        (lambda held: held.pop(TEMPORAL + "proj_in.bias"), r"1 of \d+ weights are missing .*proj_in\.bias"),
        (lambda held: held.update({"mid_block.gate": torch.zeros(1)}), r"1 are not LatentSync's \(mid_block\.gate\)"),
        (lambda held: held.update({NORM: torch.ones(7)}), rf"{NORM} has the shape \[7\], LatentSync wants \[32\]"),
        (lambda held: held.update({NORM: torch.full((32,), float("nan"))}), f"{NORM} holds values"),
        (lambda held: held.update({"conv_in.weight": torch.ones(32, 8, 3, 3)}), "takes 13 input channels"),
        (lambda held: held.update({NORM: "ones"}), "holds no state dict"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path: Path, change: Callable[[Any], object], told: str) -> None:
    file = tmp_path / "bad.pt"
    torch.save(spoilt(change), file)
    with pytest.raises(UnusableCheckpoint, match=told) as caught:
        load_latentsync(file)
    assert str(file) in str(caught.value) and caught.value.remedy


def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cut.pt"
    torch.save(narrow_latentsync(widths=THIN), file)
    whole = file.read_bytes()
    for length in (0, 3, 300, len(whole) // 2, len(whole) - 30):
        file.write_bytes(whole[:length])
        with pytest.raises(UnusableCheckpoint, match="cut off"):
            load_latentsync(file)
    with pytest.raises(MissingCheckpoint, match="no LatentSync at"):
        load_latentsync(tmp_path / "nowhere.pt")


@pytest.mark.parametrize("newer", [True, False])
def test_code_in_a_file_is_named_and_never_run(tmp_path: Path, newer: bool) -> None:
    file, made = tmp_path / "trap.pt", tmp_path / "made-by-code"
    held = narrow_latentsync(widths=THIN) | {"optimizer": Trap(made)}
    torch.save(held, file, _use_new_zipfile_serialization=newer)
    with pytest.raises(UnusableCheckpoint, match=r"executable content \(\w+\.mkdir\)"):
        load_latentsync(file)
    file.write_bytes(pickle.dumps(Trap(made)))
    with pytest.raises(UnusableCheckpoint, match="a pickle of something else"):
        load_latentsync(file)
    assert not made.exists()
