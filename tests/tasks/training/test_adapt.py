"""Branches and adapters on imported bases of both kinds: what is trained, what stays, and what is saved."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file

from models.action_unit_reader import load_action_units
from models.imported import build_imported
from models.latentsync import load_latentsync
from models.lora import FILE, has_lora
from models.musetalk import load_musetalk
from models.pipeline import DubPipeline, load_pipeline
from models.speech import load_speech_encoder
from storage.errors import UsageError
from tasks.config import Config, load_config
from tasks.training.adapt import AdaptTraining, settings_of
from tasks.training.checkpoints import Checkpoints
from tasks.training.data import decode_clip
from tasks.training.denoiser_stages import ready_for
from tasks.training.image import ImageRun, ImageTraining
from tasks.training.latents import LatentCache, cache_clips
from tasks.training.ray_fit import fit
from tests.models.narrow_releases import narrow_vae
from tests.tasks.public_bases import SIZE, write_base, write_whisper
from tests.tasks.training.conftest import StoppedAt

KINDS = ("latentsync", "musetalk")
WINDOW = 4
RUN = ImageRun(
    steps=20, batch_size=2, rate=2e-3, warmup=2, precision="fp32", ema_decay=0.9, lora_rank=4, lora_alpha=4,
    drop_emotion=0.0, drop_action_units=0.0, drop=0.0,
)  # fmt: skip
BRANCHES = {"emotion_space", "emotion_control", "identity_projection", "action_unit_encoder"}
UNET = "unet/diffusion_pytorch_model.safetensors"

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Narrow bases of both kinds, imported, and a whisper of their width."""
    place = tmp_path_factory.mktemp("bases")
    write_whisper(place)
    for kind, load in (("latentsync", load_latentsync), ("musetalk", load_musetalk)):
        pipeline = build_imported(load(write_base(kind, place / "files")), narrow_vae(), SIZE)
        short = pipeline.settings | {"window": WINDOW, "window_overlap": 1}
        DubPipeline(**pipeline.components, **short).save_pretrained(str(place / kind))
    return place


@pytest.fixture(scope="module")
def grown(folder: Path) -> dict[tuple[str, bool], DubPipeline]:
    """(kind, with emotion) → the base with our branches, untrained."""
    parts = {True: (), False: ("identity", "action_units")}
    loaded = {kind: copy.deepcopy(load_pipeline(folder / kind)) for kind in KINDS}
    return {
        (kind, feeling): ready_for("adapt", pipeline, parts[feeling], control_share=1.0)
        for kind, pipeline in loaded.items()
        for feeling in parts
    }


@pytest.fixture(scope="module")
def cached(folder: Path, grown: dict[tuple[str, bool], DubPipeline], rows: Rows) -> dict[str, list[Path]]:
    """Latents for each base."""
    speech, reader, found = load_speech_encoder(folder / "narrow.pt"), load_action_units(), {}
    for kind in KINDS:
        pipeline = grown[kind, False]
        cache = LatentCache(folder / "latents", pipeline.vae, speech, reader=reader, base=pipeline.base, size=SIZE)
        found[kind] = cache_clips((decode_clip(row) for row in rows[:2]), cache, mirror=False)
    return found


Begin = Callable[..., AdaptTraining]


@pytest.fixture(scope="module")
def begin(grown: dict[tuple[str, bool], DubPipeline], cached: dict[str, list[Path]]) -> Begin:
    """begin(kind, rank=0, **settings) begins a training on a copy of the base, with all branches but that of emotion:
    that one reads texts at its start, which takes seconds.
    """
    begun: dict[str, AdaptTraining] = {}

    def beginning(kind: str, rank: int = 0, **settings: Any) -> AdaptTraining:
        if kind in begun and not rank and not settings:
            return copy.deepcopy(begun[kind])
        pipeline = copy.deepcopy(grown[kind, False])
        run = replace(RUN, **(settings_of(pipeline, {"batch_size": WINDOW}) | settings))
        training = AdaptTraining(pipeline, cached[kind], run, rank=rank)
        if not rank and not settings:
            begun[kind] = copy.deepcopy(training)
        return training

    return beginning


@pytest.fixture(scope="module")
def feeling(grown: dict[tuple[str, bool], DubPipeline], cached: dict[str, list[Path]]) -> dict[str, AdaptTraining]:
    """Trainings with all branches that have not taken a step: LatentSync's with adapters, MuseTalk's without."""
    begun = {}
    for kind, changes in (("latentsync", {}), ("musetalk", {"lora_rank": 0, "emotion_weight": 0.1})):
        pipeline = copy.deepcopy(grown[kind, True])
        run = replace(RUN, **(settings_of(pipeline, {"batch_size": WINDOW}) | {"whole_face": 0.5} | changes))
        begun[kind] = AdaptTraining(pipeline, cached[kind], run)
    return begun


def state_of(training: ImageTraining) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in training.denoiser.state_dict().items()}


@pytest.mark.parametrize("kind", KINDS)
def test_with_all_that_is_new_fresh_loss_and_prediction_are_the_base_s(
    kind: str, folder: Path, feeling: dict[str, AdaptTraining], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = feeling[kind]
    assert {name.split(".")[0] for name in state.averaged} - {"unet"} == BRANCHES
    assert has_lora(state.denoiser.unet) is (kind == "latentsync")
    batch, draws, texts = state.batch()
    conditions = state.conditions(batch, draws, texts)
    assert conditions.emotion is not None and conditions.action_units is not None
    loss = state.losses(batch, draws, texts)[0]
    made = state.network(draws.noise, draws.timesteps, conditions)
    # a copy: what is loaded lies in memory as the file does, and processors add up otherwise there
    base = copy.deepcopy(load_pipeline(folder / kind).denoiser)
    assert torch.equal(made, base(draws.noise, draws.timesteps, conditions))
    monkeypatch.setattr(state, "network", base)
    assert torch.equal(loss, state.losses(batch, draws, texts)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_branches_and_adapters_move_and_the_base_stays(kind: str, feeling: dict[str, AdaptTraining]) -> None:
    state = copy.deepcopy(feeling[kind])
    before = state_of(state)
    for _ in range(3):
        state.train_step()
    moved = {name for name, value in state_of(state).items() if not torch.equal(value, before[name])}
    assert moved <= set(state.averaged)
    assert {name.split(".")[0] for name in moved} == BRANCHES | ({"unet"} if state.run.lora_rank else set())
    # a single pixel that looks at itself alone (the middle block, here) has nothing to ask
    assert all(name in moved for name in state.averaged if ".lora_" in name and ("to_v" in name or "to_out" in name))
    assert len(state.ema.shadow_params) == len(state.averaged) < len(before) / 2
    assert set(state.state_dict()["denoiser"]) == set(state.averaged)
    kept = {id(weight) for weight in state.averaged.values()}
    assert {id(weight) for group in state.optimizer.param_groups for weight in group["params"]} == kept


def test_a_direct_base_does_not_see_the_noise(feeling: dict[str, AdaptTraining]) -> None:
    state = feeling["musetalk"]
    batch, draws, texts = state.batch()
    assert not draws.timesteps.any()
    first, parts = state.losses(batch, draws, texts)
    assert parts["emotion"] > 0, "decoded frames are judged, of every sample"
    other = replace(draws, noise=torch.randn_like(draws.noise))
    assert torch.equal(first, state.losses(batch, other, texts)[0])


def test_adapters_have_their_own_rate(begin: Begin) -> None:
    shares = {group["share"]: len(group["params"]) for group in begin("musetalk", lora_rate=7.0).optimizer.param_groups}
    assert set(shares) == {1.0, 7.0}


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns(kind: str, begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    state = begin(kind)
    state.run = replace(state.run, rate=1e-2, steps=6, outside=1.0)
    batch = state.batch()
    monkeypatch.setattr(state, "batch", lambda: batch)
    losses = [state.train_step()["loss"] for _ in range(6)]
    assert losses[-1] < 0.95 * losses[0]


def test_two_workers_with_half_a_batch_take_the_step_of_one(begin: Begin) -> None:
    whole, *halves = (begin("latentsync", rank=rank, batch_size=count) for count, rank in ((2, 0), (1, 0), (1, 1)))
    for other in halves:
        assert all(torch.equal(weight, other.averaged[name]) for name, weight in whole.averaged.items())
    losses = [float(each.losses(*each.batch())[0].detach()) for each in (whole, *halves)]
    assert (losses[1] + losses[2]) / 2 == pytest.approx(losses[0], abs=1e-6)


def test_a_resumed_run_goes_on_exactly(begin: Begin, tmp_path: Path) -> None:
    straight = begin("latentsync")
    expected = [straight.train_step() for _ in range(4)]
    stopped = begin("latentsync")
    for _ in range(2):
        stopped.train_step()
    torch.save(stopped.state_dict(), tmp_path / "state.pt")
    resumed = begin("latentsync")
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [resumed.train_step() for _ in range(2)] == expected[2:]
    ended = state_of(straight)
    assert all(torch.equal(value, ended[name]) for name, value in state_of(resumed).items())


def test_what_is_saved_is_the_base_with_the_adapters_in_it(folder: Path, begin: Begin, tmp_path: Path) -> None:
    state = begin("latentsync")
    for _ in range(3):
        state.train_step()
    before = state_of(state)
    state.save_pipeline(tmp_path, torch.float32)
    assert all(torch.equal(value, before[name]) for name, value in state_of(state).items()), "the run goes on"

    plain, now = load_file(folder / "latentsync" / UNET), load_file(tmp_path / UNET)
    assert set(now) == set(plain)
    changed = {name for name, value in now.items() if not torch.equal(value, plain[name])}
    assert changed and all(name.split(".")[-2] in ("to_q", "to_k", "to_v", "0") for name in changed)
    motion = "motion_adapter/diffusion_pytorch_model.safetensors"
    assert (tmp_path / motion).read_bytes() == (folder / "latentsync" / motion).read_bytes()

    alone = UNet2DConditionModel.from_pretrained(folder / "latentsync", subfolder="unet")
    alone.load_lora_adapter(str(tmp_path / "lora" / "unet"), weight_name=FILE, prefix=None)
    alone.fuse_lora()
    alone.unload_lora()
    assert all(torch.allclose(value, now[name], atol=1e-6) for name, value in alone.state_dict().items())

    saved = load_pipeline(tmp_path)
    assert saved.base == state.pipeline.base and not has_lora(saved.unet)
    batch, draws, texts = state.batch()
    given = (draws.noise, draws.timesteps, state.conditions(batch, draws, texts))
    with torch.no_grad(), state.with_averaged_weights():
        expected, made = state.denoiser(*given), saved.denoiser(*given)
        unlike = load_pipeline(folder / "latentsync").denoiser(*given)
    assert (made - expected).abs().mean() < 0.01 * (unlike - expected).abs().mean()


@pytest.fixture
def settings(folder: Path, tmp_path: Path) -> Config:
    train = {
        "batch_size": WINDOW, "steps": 4, "checkpoint_every": 2, "warmup_steps": 1, "workers": 0, "device": "cpu",
        "precision": "fp32", "lora_rank": 2, "learning_rate": 1e-3, "samples_every": 0,
        "parts": ["identity", "action_units"],
    }  # fmt: skip
    model = {"size": SIZE, "control_share": 1.0}
    return load_config(
        "studio", tmp_path / "root",
        {"audio.speech": str(folder / "narrow.pt"), "model": model, "train": train, "render.steps": 2},
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_ends_like_one_that_was_not(
    kind: str, folder: Path, settings: Config, rows: Rows, tmp_path: Path, stopped_at: StoppedAt
) -> None:
    """Through the whole of `fit`, in this process: from CLIPS rows to a pipeline that renders."""
    whole = fit("adapt", settings, rows, folder / kind, tmp_path / "whole")
    with stopped_at(3):
        fit("adapt", settings, rows, folder / kind, tmp_path / "stopped")
    kept = Checkpoints(tmp_path / "stopped").read()
    assert kept is not None and kept["step"] == 2
    assert not [name for name in kept["denoiser"] if name.startswith("unet.") and ".lora_" not in name]
    resumed = fit("adapt", settings, rows, folder / kind, tmp_path / "stopped")
    assert resumed["losses"] == whole["losses"]
    for file in (UNET, f"lora/unet/{FILE}", "identity_projection/diffusion_pytorch_model.safetensors"):
        assert (Path(resumed["path"]) / file).read_bytes() == (Path(whole["path"]) / file).read_bytes()
    assert load_pipeline(whole["path"]).base.kind == kind


def test_windows_where_the_base_sees_them(grown: dict[tuple[str, bool], DubPipeline]) -> None:
    whole = {"exchange": 0.0, "noise_bias": 1.0, "terminal": 0.0}
    windows = {"window": WINDOW, "batch_size": 16} | whole
    assert settings_of(grown["latentsync", True], {"batch_size": 64}) == windows
    assert settings_of(grown["latentsync", True], {"batch_size": 3})["batch_size"] == 1
    frames = {"window": 1, "batch_size": 3, "whole_face": 0.0} | whole
    assert settings_of(grown["musetalk", False], {"batch_size": 3}) == frames


def test_what_cannot_be_adapted_is_said(folder: Path, begin: Begin, cached: dict[str, list[Path]]) -> None:
    with pytest.raises(UsageError, match="windows"):
        begin("latentsync", window=1)
    with pytest.raises(UsageError, match="wings"):
        begin("musetalk", lora_targets=("wings",))
    with pytest.raises(UsageError, match="no temporal layers"):
        ready_for("adapt", load_pipeline(folder / "musetalk"), ("temporal",))
    with pytest.raises(UsageError, match="nothing is trained"):
        AdaptTraining(load_pipeline(folder / "musetalk"), cached["musetalk"], replace(RUN, lora_rank=0))
