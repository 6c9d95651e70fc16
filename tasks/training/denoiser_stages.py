"""The stages of the diffusion model: what each needs of a pipeline, what it changes, and how it differs in settings."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from models.conventions import Conventions
from models.emotion import load_face_emotion
from models.emotion_control import EmotionSpace
from models.pipeline import DubPipeline, add_parts
from storage.errors import UsageError
from tasks.training import adapt
from tasks.training.adapt import AdaptTraining
from tasks.training.distil import DistilTraining
from tasks.training.image import ImageTraining
from tasks.training.video import VideoTraining


class SplitTraining(ImageTraining):
    """`ImageTraining` of the U-Nets alone, each on the timesteps that are routed to it."""

    def _freeze(self) -> None:
        super()._freeze()
        for name, weight in self.denoiser.named_parameters():
            weight.requires_grad_(name.startswith(("unet.", "later_unets.")))


TRAININGS: dict[str, type[ImageTraining]] = {
    "image": ImageTraining,
    "video": VideoTraining,
    "split": SplitTraining,
    "distil": DistilTraining,
    "adapt": AdaptTraining,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "image": {},
    "video": {"window": 16, "batch_size": 2, "emotion_weight": 0.01},
    "split": {},
    "distil": {"noise_bias": 1.0, "terminal": 0.15},
    "adapt": {},
}
"""What a stage sets otherwise than the configuration (`tasks.training.schedule.ImageRun`), whatever the pipeline."""
BOUNDARIES = (600,)
"""Timesteps at which the stage `split` hands over to the next U-Net, where the pipeline is not split yet."""


def stage_for(folder: str | Path) -> str:
    """The stage that trains the pipeline in `folder` further on new footage."""
    about = DubPipeline.load_config(str(folder), local_files_only=True)
    return "image" if Conventions(**about.get("base") or {}).kind == Conventions().kind else "adapt"


def settings_of(stage: str, pipeline: DubPipeline, settings: dict[str, Any]) -> dict[str, Any]:
    """What a stage sets otherwise than `settings`, for this pipeline."""
    return adapt.settings_of(pipeline, settings) if stage == "adapt" else SETTINGS[stage]


def ready_for(
    stage: str, pipeline: DubPipeline, parts: tuple[str, ...] = (), space: str = "", control_share: float = 0.5
) -> DubPipeline:
    """The pipeline with what the stage trains: further parts, temporal layers, or a U-Net for each range of timesteps.

    It renders exactly what it did.

    Args:
        parts: of `models.pipeline.PARTS`, added where they are missing.
        space: folder of the emotion space that the stage `align` trained, for the part "emotion"; "" builds an
            untrained one.
        control_share: widths of that part's ControlNet over the U-Net's.
    Raises:
        UsageError: an unknown part, temporal layers for the stage `adapt` (it would not train them), a folder that
            holds no emotion space, or a public base, which one stage alone calls as it wants to be called.
    """
    if stage != "adapt" and pipeline.base.kind != Conventions().kind:
        raise UsageError(f"a base of {pipeline.base.kind} is not trained by the stage {stage}", "use --stage adapt")
    wanted = {*parts, "temporal"} if stage == "video" else set(parts)
    if stage == "adapt" and "temporal" in parts:
        raise UsageError("--stage adapt trains no temporal layers", "leave temporal out of train.parts")
    if stage == "adapt" and not parts:
        wanted = set(adapt.PARTS)
    if wanted:
        try:
            feeling: dict[str, Any] = {}
            if "emotion" in wanted and pipeline.emotion_control is None:
                recogniser = load_face_emotion()
                aligned = (
                    EmotionSpace.from_pretrained(
                        space, use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
                    ).float()
                    if space
                    else EmotionSpace(image_dim=512 + recogniser.config.width)
                )
                feeling = {"emotion_space": aligned, "face_emotion": recogniser, "control_share": control_share}
            pipeline = add_parts(pipeline, sorted(wanted), **feeling)
        except (ValueError, OSError) as error:
            raise UsageError(str(error), "see train.parts and train.space in `dubwright config`") from error
    if "emotion" in wanted and not pipeline.config.whole_face:
        pipeline = DubPipeline(**pipeline.components, **(pipeline.settings | {"whole_face": True}))
    if stage == "split" and pipeline.unet_2 is None:
        parts_of = pipeline.components | {"unet_2": copy.deepcopy(pipeline.unet)}
        pipeline = DubPipeline(**parts_of, **(pipeline.settings | {"boundaries": list(BOUNDARIES)}))
    return pipeline
