"""Building and loading the pipeline (`models.dub_pipeline`), at the size of a profile."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from diffusers.utils.logging import disable_progress_bar, enable_progress_bar, is_progress_bar_enabled

from models.action_units import AUS, ActionUnitEncoder
from models.autoencoder import build_autoencoder
from models.blending import compose, match_surround
from models.conditions import AudioProjection, IdentityProjection, MaskEncoder
from models.data_only import check_folder
from models.denoiser import build_denoiser
from models.dub_pipeline import DubPipeline
from models.emotion import FaceEmotion
from models.emotion_control import EmotionSpace, build_control
from models.fusion import build_fusion
from models.sampling import build_scheduler, fast_dtype
from models.temporal import build_motion_adapter

__all__ = [
    "PARTS",
    "DubPipeline",
    "add_parts",
    "build_pipeline",
    "build_scheduler",
    "compose",
    "fast_dtype",
    "load_pipeline",
    "match_surround",
]

PARTS = ("emotion", "action_units", "fusion", "temporal", "identity", "mask")
"""Branches that can be added to a trained pipeline without changing what it renders."""


def add_parts(
    pipeline: DubPipeline,
    parts: Collection[str] = PARTS,
    text_dim: int = 128,
    image_dim: int = 512,
    emotion_space: EmotionSpace | None = None,
    face_emotion: FaceEmotion | None = None,
    control_share: float = 1.0,
    identity_dim: int = 512,
) -> DubPipeline:
    """The same pipeline with untrained branches beside what it has; it renders exactly what it did.

    Args:
        pipeline: keeps its components (the result shares them); a part that it has already stays as it is.
        parts: of `PARTS`.
        text_dim, image_dim: widths of the emotion text's embedding and of the person's image features.
        emotion_space: one that is aligned already (stage `align`), in place of an untrained one of these widths.
        face_emotion: the recogniser whose features it was aligned with.
        control_share: widths of the emotion branch's ControlNet as a share of the U-Net's.
        identity_dim: width of the face embedding.
    Raises:
        ValueError: an unknown part.
    """
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise ValueError(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    unet, components = pipeline.unet, dict(pipeline.components)
    width, pooled_dim = unet.config.cross_attention_dim, unet.config.projection_class_embeddings_input_dim
    if "emotion" in parts and pipeline.emotion_control is None:
        space = emotion_space or EmotionSpace(text_dim, image_dim)
        components["emotion_space"], components["face_emotion"] = space, face_emotion
        components["emotion_control"] = build_control(unet, space.config.dim, control_share)
    if "action_units" in parts and pipeline.action_unit_encoder is None:
        components["action_unit_encoder"] = ActionUnitEncoder(len(AUS), width, pooled_dim=pooled_dim)
    if "fusion" in parts and pipeline.level_fusion is None:
        components["level_fusion"] = build_fusion(unet)
    if "temporal" in parts and pipeline.motion_adapter is None:
        components["motion_adapter"] = build_motion_adapter(unet)
    if "identity" in parts and pipeline.identity_projection is None:
        components["identity_projection"] = IdentityProjection(identity_dim, width)
    if "mask" in parts and pipeline.mask_encoder is None:
        components["mask_encoder"] = MaskEncoder(out_channels=unet.config.block_out_channels[0])
    added = DubPipeline(**components, **pipeline.settings)
    added.compute_dtype = pipeline.compute_dtype
    for module in added.components.values():
        if isinstance(module, torch.nn.Module):
            module.to(unet.device).eval()
            if module.dtype != unet.dtype:
                module.to(unet.dtype)
    return added


def build_pipeline(
    profile: str = "studio",
    vae: AutoencoderKL | None = None,
    crop_size: int | None = None,
    identity_dim: int = 512,
    identity_tokens: int = 4,
    audio_dim: int = 192,
    audio_tokens: int = 10,
    audio_context: int = 2,
    unet: dict[str, Any] | None = None,
    scheduler: dict[str, Any] | None = None,
    parts: Collection[str] = (),
    text_dim: int = 128,
) -> DubPipeline:
    """An untrained pipeline of a profile ("studio" or "sd15").

    Args:
        vae: a trained autoencoder; None builds an untrained one.
        audio_dim, audio_tokens: D and N of the speech features [N,D] of one frame.
        audio_context: the frames on each side that they were cut from.
        unet, scheduler: settings that replace the profile's.
        parts: further branches, see `add_parts`; with `text_dim` the width of an emotion text's embedding.
    """
    network = build_denoiser(profile, **(unet or {}))
    width, pooled_dim = network.config.cross_attention_dim, network.config.projection_class_embeddings_input_dim
    if pooled_dim is None and audio_dim != width:
        raise ValueError(f"speech features of width {audio_dim} do not fit cross-attention of width {width}")
    pipeline = DubPipeline(
        vae=vae or build_autoencoder(profile),
        unet=network,
        scheduler=build_scheduler(profile, **(scheduler or {})),
        mask_encoder=MaskEncoder(out_channels=network.config.block_out_channels[0]),
        identity_projection=IdentityProjection(identity_dim, width, identity_tokens),
        audio_projection=AudioProjection(audio_dim, width, audio_tokens, pooled_dim) if pooled_dim else None,
        crop_size=crop_size or {"studio": 128, "sd15": 256}[profile],
        audio_context=audio_context,
        base={"steps": 20} if profile == "sd15" else None,
    )
    for module in pipeline.components.values():
        if isinstance(module, torch.nn.Module):
            module.eval()  # as from_pretrained leaves them
    return add_parts(pipeline, parts, text_dim, identity_dim) if parts else pipeline


def load_pipeline(folder: str | Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> DubPipeline:
    """A saved pipeline, ready for inference on `device`.

    Raises:
        FileNotFoundError: the folder holds no pipeline.
        UnusableCheckpoint: it holds something that could run code.
    """
    if not (Path(folder) / "model_index.json").is_file():
        raise FileNotFoundError(f"{folder} holds no pipeline: model_index.json is missing")
    check_folder(folder)
    shown = is_progress_bar_enabled()
    disable_progress_bar()  # loading takes half a second
    try:
        pipeline = DubPipeline.from_pretrained(
            str(folder), torch_dtype=dtype, local_files_only=True, use_safetensors=True
        )
    finally:
        if shown:
            enable_progress_bar()
    return pipeline.to(device)
