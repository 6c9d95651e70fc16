"""The stages after `image`: what each changes, and that none changes what the pipeline renders before it begins."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models.emotion import FaceEmotion, load_face_emotion
from models.pipeline import DubPipeline, load_pipeline
from storage.errors import UsageError
from tasks.training import denoiser_stages
from tasks.training.denoiser_stages import SETTINGS, TRAININGS, ready_for
from tasks.training.image import ImageRun, ImageTraining

RUN = ImageRun(steps=20, batch_size=2, rate=2e-3, warmup=2, precision="fp32", ema_decay=0.9, noise_bias=3.0)


def begun(stage: str, tiny_models: dict[str, Path], files: list[Path], **changes: Any) -> ImageTraining:
    pipeline = ready_for(stage, load_pipeline(tiny_models["pipeline"]))
    settings = {name: value for name, value in SETTINGS[stage].items() if name != "batch_size"}
    return TRAININGS[stage](pipeline, files, replace(RUN, **(settings | changes)))


def moved(state: ImageTraining, steps: int = 3) -> set[str]:
    before = {name: value.clone() for name, value in state.denoiser.state_dict().items()}
    for _ in range(steps):
        state.train_step()
    return {name for name, value in state.denoiser.state_dict().items() if not torch.equal(value, before[name])}


def test_video_changes_the_temporal_layers_alone(tiny_models: dict[str, Path], files: list[Path]) -> None:
    state = begun("video", tiny_models, files, window=6)
    first = state.losses(*state.batch())[1]
    assert {"denoising", "perceptual", "temporal"} <= set(first)
    assert all(name.startswith("motion_adapter.") for name in moved(state))


def test_video_says_what_it_needs(tiny_models: dict[str, Path], files: list[Path]) -> None:
    with pytest.raises(ValueError, match="temporal layers"):
        TRAININGS["video"](load_pipeline(tiny_models["pipeline"]), files, replace(RUN, window=6))


def test_split_trains_each_unet_on_its_own_timesteps(tiny_models: dict[str, Path], files: list[Path]) -> None:
    state = begun("split", tiny_models, files)
    assert state.pipeline.config.boundaries == [600]
    assert torch.equal(state.pipeline.unet.conv_in.weight, state.pipeline.unet_2.conv_in.weight)
    changed = moved(state, 6)
    assert {name.split(".")[0] for name in changed} == {"unet", "later_unets"}
    assert not torch.equal(state.pipeline.unet.conv_in.weight, state.pipeline.unet_2.conv_in.weight)


def test_distil_brings_the_student_to_what_the_teacher_says(tiny_models: dict[str, Path], files: list[Path]) -> None:
    """From a student that is made to differ, the loss falls; at first, being the teacher itself, it is small."""
    same = begun("distil", tiny_models, files)
    assert moved(same)
    state = begun("distil", tiny_models, files, batch_size=8)
    with torch.no_grad():
        state.denoiser.unet.conv_out.weight.mul_(0.3)
    losses = [state.train_step()["loss"] for _ in range(20)]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    assert not any(weight.requires_grad for weight in (*state.teacher.parameters(), *state.target.parameters()))


def test_a_distillation_resumes_exactly(tiny_models: dict[str, Path], files: list[Path], tmp_path: Path) -> None:
    straight = begun("distil", tiny_models, files)
    expected = [straight.train_step() for _ in range(4)]
    stopped = begun("distil", tiny_models, files)
    for _ in range(2):
        stopped.train_step()
    torch.save(stopped.state_dict(), tmp_path / "state.pt")
    resumed = begun("distil", tiny_models, files)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [resumed.train_step() for _ in range(2)] == expected[2:]


@pytest.mark.parametrize("stage", sorted(TRAININGS))
def test_no_stage_changes_the_rendering_before_it_begins(stage: str, tiny_models: dict[str, Path]) -> None:
    plain = load_pipeline(tiny_models["pipeline"])
    ready = ready_for(stage, copy.deepcopy(plain), ("emotion", "action_units", "fusion"))
    assert _rendered(ready) == _rendered(plain)
    assert ready.config.whole_face


def _rendered(pipeline: DubPipeline) -> list[int]:
    size = pipeline.config.crop_size
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8, generator=generator).numpy()
    pipeline.compute_dtype = torch.float32
    made = pipeline(frames, torch.ones(size, size).numpy(), frames[0], num_inference_steps=3, generator=generator)
    return [int(value) for value in made.ravel()]


@pytest.mark.parametrize(("share", "widths"), [(0.5, (16, 16, 16)), (1.0, (16, 32, 32))])
def test_the_emotion_branch_is_as_wide_as_asked_for(
    share: float, widths: tuple[int, ...], tiny_models: dict[str, Path]
) -> None:
    """The U-Net's widths are 16, 32, 32, in groups of 16."""
    grown = ready_for("image", load_pipeline(tiny_models["pipeline"]), ("emotion",), control_share=share)
    assert tuple(grown.emotion_control.controlnet.config.block_out_channels) == widths
    again = ready_for("image", grown, ("emotion", "fusion"), control_share=0.25)
    assert again.emotion_control is grown.emotion_control, "a branch that is there stays"


def test_the_recogniser_is_read_for_the_emotion_branch_alone(
    tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[FaceEmotion] = []

    def counted() -> FaceEmotion:
        read.append(load_face_emotion())
        return read[-1]

    monkeypatch.setattr(denoiser_stages, "load_face_emotion", counted)
    for stage in sorted(TRAININGS):
        grown = ready_for(stage, load_pipeline(tiny_models["pipeline"]), ("action_units", "fusion"))
        assert grown.face_emotion is None and grown.emotion_control is None and grown.level_fusion is not None
    assert not read
    grown = ready_for("image", load_pipeline(tiny_models["pipeline"]), ("emotion",))
    assert [grown.face_emotion] == read
    ready_for("video", grown, ("emotion",))
    assert len(read) == 1, "it has one"


def test_what_cannot_be_added_is_said(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such part: wings"):
        ready_for("image", load_pipeline(tiny_models["pipeline"]), ("wings",))
    with pytest.raises(UsageError, match=r"train\.space"):
        ready_for("image", load_pipeline(tiny_models["pipeline"]), ("emotion",), str(tmp_path / "nothing"))
