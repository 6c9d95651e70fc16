"""What the stage `adapt` costs against training a whole base: time on a narrow one, memory at full size.

Time is measured here, as ratios in one run; memory at full size is computed, not measured: weights, gradients,
optimiser and average by counting, activations by a forward pass of tensors without contents, as bf16 autocast keeps
them on a CPU (CUDA keeps the inputs of norms in float32, and its kernels take room of their own). Run by `make bench`.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from models.action_units import AUS, ActionUnitEncoder
from models.autoencoder import build_autoencoder
from models.conditions import IdentityProjection
from models.conventions import Conventions
from models.denoiser import DENOISERS, Denoiser
from models.emotion_control import EmotionSpace, build_control
from models.imported import build_imported
from models.landmarks106 import MEAN_SHAPE
from models.latentsync import LATENTSYNC, load_latentsync
from models.lora import add_lora
from models.musetalk import IN_CHANNELS, MUSETALK, AudioPositions, load_musetalk
from models.pipeline import DubPipeline
from models.speech import SpeechEncoder
from models.steering import Conditions
from models.temporal import build_motion_adapter
from tasks.training.adapt import AdaptTraining, settings_of
from tasks.training.data import TrainingClip
from tasks.training.denoiser_stages import ready_for
from tasks.training.image import ImageRun, ImageTraining
from tasks.training.latents import LatentCache, cache_clips
from tests.models.narrow_releases import CONTEXT, narrow_latentsync, narrow_musetalk

SIZE, WINDOW, BATCH, STEPS, TURNS = 128, 8, 8, 2, 3
WIDTHS = (64, 128, 128, 128)
RANK = 16
GIB = 2**30
FULL = (("latentsync", 256, 16), ("latentsync", 512, 16), ("musetalk", 256, 8))


class WholeTraining(AdaptTraining):
    """The same with every weight of the base trained in place of adapters."""

    def _freeze(self) -> None:
        ImageTraining._freeze(self)


VARIANTS: dict[str, tuple[type[AdaptTraining], int, bool]] = {
    "whole": (WholeTraining, 0, False),
    "adapters": (AdaptTraining, RANK, False),
    "frozen": (AdaptTraining, 0, False),
    "recomputed": (AdaptTraining, RANK, True),
}
"""What is trained beside the branches, the rank of the adapters, and whether activations are computed anew."""


@pytest.fixture(scope="module", params=["latentsync", "musetalk"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[DubPipeline, list[Path]]:
    """A narrow base with all our branches, and latents for it."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp(request.param)
    musetalk = request.param == "musetalk"
    torch.save(narrow_musetalk(WIDTHS) if musetalk else narrow_latentsync("decoder", WIDTHS), folder / "base.pt")
    checkpoint = (load_musetalk if musetalk else load_latentsync)(folder / "base.pt")
    vae = build_autoencoder("sd15", block_out_channels=(8, 8, 16, 16), norm_num_groups=8)
    pipeline = build_imported(checkpoint, vae, SIZE)
    pipeline = DubPipeline(**pipeline.components, **(pipeline.settings | {"window": WINDOW}))
    pipeline = copy.deepcopy(ready_for("adapt", pipeline, control_share=1.0))
    rng = np.random.default_rng(0)
    clip = TrainingClip(
        clip_id="noise", speaker="", split="train", frames=rng.integers(0, 256, (16, 128, 128, 3), dtype=np.uint8),
        labels=np.zeros((16, 128, 128), np.uint8), pts=np.arange(16) / 25, identity=None,
        landmarks=np.repeat((MEAN_SHAPE * 40 + 64)[None].astype(np.float32), 16, axis=0),
        audio=rng.standard_normal(16000).astype(np.float32) * 0.1,
        mouth_opening=np.zeros(16, np.float32), emotion="neutral", intensity=0,
    )  # fmt: skip
    speech = SpeechEncoder(width=CONTEXT, dilations=(1, 2)).eval()
    cache = LatentCache(folder, pipeline.vae, speech, base=pipeline.base, size=SIZE)
    return pipeline, cache_clips([clip], cache, mirror=False)


def state_bytes(training: AdaptTraining) -> int:
    """Of the optimiser and of the average."""
    kept = [value for state in training.optimizer.state.values() for value in state.values()]
    return sum(value.nbytes for value in (*kept, *training.ema.shadow_params) if isinstance(value, Tensor))


def test_a_step_against_training_the_whole_base(base: tuple[DubPipeline, list[Path]]) -> None:
    pipeline, files = base
    run = ImageRun(batch_size=BATCH, precision="fp32", lora_alpha=RANK)
    run = replace(run, **settings_of(pipeline, {"batch_size": BATCH}))
    trainings = {
        name: kind(copy.deepcopy(pipeline), files, replace(run, lora_rank=rank, recompute=again))
        for name, (kind, rank, again) in VARIANTS.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for turn in range(TURNS):
        for name, training in trainings.items():
            began = time.process_time()
            for _ in range(STEPS):
                training.train_step()
            if turn:  # the first one allocates
                seconds[name].append((time.process_time() - began) / STEPS)
    print(f"\n{pipeline.base.kind}, {SIZE} px, {BATCH} frames a step, narrow:")  # noqa: T201
    whole = trainings["whole"]
    for name, training in trainings.items():
        count = sum(weight.numel() for weight in training.trained)
        ratio = median(seconds[name]) / median(seconds["whole"])
        print(  # noqa: T201
            f"  {name:10} {count / 1e6:6.2f} M trained, optimiser + average {state_bytes(training) / 2**20:6.1f} MiB; "
            f"{median(seconds[name]):.2f} CPU s a step: {ratio:.2f} of the whole's"
        )
        if training is not whole:
            assert state_bytes(training) < 0.6 * state_bytes(whole)
            assert ratio < (1.6 if training.run.recompute else 1.25)


def full_size(kind: str, rank: int, branches: bool, recompute: bool) -> Denoiser:
    """The denoiser at SD 1.5's widths on the meta device; rank -1 trains the whole base."""
    with torch.device("meta"):
        musetalk = kind == "musetalk"
        unet = UNet2DConditionModel(in_channels=IN_CHANNELS if musetalk else 13, out_channels=4, **DENOISERS["sd15"])
        motion = None if musetalk else build_motion_adapter(unet, use_motion_mid_block=False, motion_max_seq_length=24)
        width, space = unet.config.cross_attention_dim, EmotionSpace(image_dim=576)
        parts: dict[str, nn.Module] = {} if not branches else {
            "emotion_space": space, "emotion_control": build_control(unet, space.config.dim),
            "identity_projection": IdentityProjection(512, width),
            "action_unit_encoder": ActionUnitEncoder(len(AUS), width),
        }  # fmt: skip
        positions = AudioPositions(width) if musetalk else None
        base: Conventions = MUSETALK if musetalk else LATENTSYNC
        denoiser = Denoiser(unet, audio_projection=positions, motion_adapter=motion, base=base, **parts)
        denoiser.requires_grad_(rank < 0)
        if rank > 0:
            add_lora(unet, rank, rank)
        for part in parts.values():
            part.requires_grad_(True)
        if motion is not None:
            motion.requires_grad_(False)
    if recompute:
        denoiser.recompute()
    return denoiser


def activations(denoiser: Denoiser, size: int, frames: int) -> int:
    """Bytes that a training step keeps between its forward and its backward pass, beside the weights."""
    mode, side = FakeTensorMode(), size // 8
    for module in denoiser.modules():
        for values in (module._parameters, module._buffers):
            for name, value in values.items():
                if value is not None:
                    fake = FakeTensor(mode, value.detach(), torch.device("cpu"))
                    values[name] = nn.Parameter(fake, value.requires_grad) if isinstance(value, nn.Parameter) else fake
    kept: dict[int, Tensor] = {}
    weights = {weight.untyped_storage()._cdata for weight in denoiser.parameters()}

    def keep(value: Tensor) -> Tensor:
        if value.untyped_storage()._cdata not in weights:
            kept[value.untyped_storage()._cdata] = value
        return value

    with mode, torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        conditions = Conditions(
            torch.randn(frames, 9, side, side), torch.ones(1, 1, size, size), torch.randn(frames, 50, 384),
            torch.randn(frames, 512), action_units=torch.rand(frames, len(AUS)),
            window=frames if denoiser.sees_windows else None,
        )  # fmt: skip
        if denoiser.emotion_control is not None:
            conditions.emotion, conditions.emotion_image = torch.randn(frames, 128), torch.randn(frames, 576)
        with torch.autocast("cpu", torch.bfloat16):
            denoiser(torch.randn(frames, 4, side, side), torch.zeros(frames, dtype=torch.long), conditions)
    return sum(value.untyped_storage().nbytes() for value in kept.values())


def rows() -> Iterator[tuple[str, int, int, str, int, bool]]:
    for kind, size, frames in FULL:
        for name, rank, branches in (
            ("whole base", -1, True), ("adapters and branches", RANK, True), ("branches", 0, True),
            ("adapters", RANK, False),
        ):  # fmt: skip
            yield kind, size, frames, name, rank, branches


def test_memory_at_full_size_computed() -> None:
    print("\nGiB at full size, computed on no accelerator (state: weights, gradients, Adam, average; + activations):")  # noqa: T201
    states: dict[tuple[str, int, str], float] = {}
    for kind, size, frames, name, rank, branches in rows():
        kept = [activations(full_size(kind, rank, branches, again), size, frames) / GIB for again in (False, True)]
        weights = list(full_size(kind, rank, branches, False).parameters())
        count, trained = (sum(w.numel() for w in weights if w.requires_grad or every) for every in (True, False))
        state = states[kind, size, name] = (4 * count + 16 * trained) / GIB
        print(  # noqa: T201
            f"  {kind:10} {size} px, {frames:2} frames, {name:21} {trained / 1e6:7.1f} M of {count / 1e6:6.1f} M "
            f"trained: {state:5.1f} + {kept[0]:5.1f}, recomputed {state:5.1f} + {kept[1]:4.1f}"
        )
        assert kept[1] < 0.5 * kept[0]
    for (kind, size, name), state in states.items():
        if name != "whole base":
            assert state < 0.6 * states[kind, size, "whole base"]
