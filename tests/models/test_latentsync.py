"""LatentSync's checkpoints: the same numbers as its own code, whole windows, and clear words about bad files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.conventions import Conventions
from models.denoiser import Denoiser
from models.latentsync import LATENTSYNC, LatentSyncCheckpoint, load_latentsync
from models.steering import Steering
from tests.models.narrow_releases import (
    DATA,
    TIMESTEP,
    Motion,
    context,
    narrow_latentsync,
    sample,
)


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
