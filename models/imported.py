"""A pipeline round a public base: LatentSync's or MuseTalk's U-Net with everything that it needs to render."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict

import torch
from diffusers import AutoencoderKL

from models.dub_pipeline import DubPipeline
from models.latentsync import LatentSyncCheckpoint
from models.musetalk import AudioPositions, MuseTalkCheckpoint
from models.pipeline import add_parts
from models.sampling import build_scheduler

CONTEXT_FRAMES = 2
"""Video frames of sound on each side of a frame: 10 feature frames of 5 hidden states, 50 tokens."""
WINDOW, OVERLAP = 16, 4
"""Frames that LatentSync was trained on and renders at a time. It lays its windows side by side; ours overlap."""


def build_imported(
    checkpoint: LatentSyncCheckpoint | MuseTalkCheckpoint,
    vae: AutoencoderKL,
    crop_size: int = 256,
    parts: Collection[str] = (),
) -> DubPipeline:
    """The pipeline of a public base.

    Noise schedule, window, the tokens of the sound (as they are; MuseTalk's with positions) and how the base wants to
    be called (`DubPipeline.base`) are its project's. The pipeline saves and loads as any other.

    Args:
        checkpoint: of `load_latentsync` or `load_musetalk`; the pipeline takes over its modules.
        vae: the autoencoder that it was trained with: sd-vae-ft-mse.
        crop_size: 256, or 512 for LatentSync 1.6.
        parts: branches of ours, see `models.pipeline.add_parts`. With fresh ones it renders exactly what it does
            without them.
    Raises:
        ValueError: a crop size or an autoencoder that does not fit the base.
    """
    unet, channels = checkpoint.unet, checkpoint.unet.config.out_channels
    if vae.config.latent_channels != channels:
        raise ValueError(f"an autoencoder of {vae.config.latent_channels} latent channels for a base of {channels}")
    step = 2 ** (len(vae.config.block_out_channels) - 1)
    if crop_size < 1 or crop_size % step:
        raise ValueError(f"a crop of {crop_size} px is no multiple of {step}, what a latent stands for")
    latentsync = isinstance(checkpoint, LatentSyncCheckpoint)
    pipeline = DubPipeline(
        vae=vae,
        unet=unet,
        scheduler=build_scheduler("sd15"),
        audio_projection=None if latentsync else AudioPositions(unet.config.cross_attention_dim),
        motion_adapter=checkpoint.motion if isinstance(checkpoint, LatentSyncCheckpoint) else None,
        crop_size=crop_size,
        audio_context=CONTEXT_FRAMES,
        window=WINDOW,
        window_overlap=OVERLAP,
        base=asdict(checkpoint.base),
    )
    for module in pipeline.components.values():
        if isinstance(module, torch.nn.Module):
            module.eval()
    return add_parts(pipeline, parts) if parts else pipeline
