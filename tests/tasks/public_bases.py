"""Narrow public checkpoints as files, with the autoencoder and the whisper checkpoint that go with them."""

from __future__ import annotations

from pathlib import Path

import torch
import whisper

from tests.models.narrow_releases import CONTEXT, THIN, narrow_latentsync, narrow_musetalk, narrow_vae

SIZE = 64
"""Side of the crops that they are imported for."""


def write_base(kind: str, folder: Path) -> Path:
    """A checkpoint file in the layout of the release; LatentSync's with temporal layers."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "musetalk":
        torch.save(narrow_musetalk(THIN), folder / "unet.pth")
        return folder / "unet.pth"
    torch.save(narrow_latentsync("full", THIN), folder / "latentsync_unet.pt")
    return folder / "latentsync_unet.pt"


def write_vae(folder: Path) -> Path:
    """A folder in the layout of sd-vae-ft-mse."""
    narrow_vae().save_pretrained(folder)
    return folder


def write_whisper(folder: Path) -> Path:
    """A checkpoint in whisper's own format: five hidden states as wide as the bases' context."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    dims = whisper.model.ModelDimensions(80, 1500, CONTEXT, 2, 4, 64, 16, 16, 2, 1)
    model = whisper.model.Whisper(dims)
    torch.nn.init.normal_(model.decoder.positional_embedding)
    torch.save({"dims": vars(dims), "model_state_dict": model.state_dict()}, folder / "narrow.pt")
    return folder / "narrow.pt"
