"""A public checkpoint from its file through import, the stage `adapt` and the registry to a dub."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.train import DATA_LICENCE, licence_of
from models.pipeline import load_pipeline
from storage import media
from storage.errors import UsageError
from storage.layout import Root
from storage.registry import Registry
from tasks.champion import champion_or_named
from tasks.config import Config, load_config
from tasks.imports import import_checkpoint
from tasks.jobs import Job
from tasks.library_run import dub_many
from tasks.training.denoiser_stages import TRAININGS, ready_for, stage_for
from tasks.training.ray_fit import fit
from tests.tasks.public_bases import SIZE, write_base, write_vae, write_whisper
from tests.tasks.training.conftest import drawn_clip

STEPS = 2


@pytest.fixture
def config(root: Root, tmp_path: Path) -> Config:
    train = {
        "batch_size": 4, "steps": STEPS, "warmup_steps": 1, "workers": 0, "device": "cpu", "precision": "fp32",
        "lora_rank": 2, "parts": ["identity", "action_units"], "samples_every": 0,
    }  # fmt: skip
    return load_config("sd15", root.local, {
        "faces.pack": "studio", "audio.speech": str(write_whisper(tmp_path)), "audio.sync": "none",
        "audio.text": "none", "audio.emotion": "none", "render.steps": 1, "render.guidance_audio": 1.0, "train": train,
        "gate.keep_back": False,
    })  # fmt: skip


@pytest.fixture(params=["latentsync", "musetalk"])
def imported(request: pytest.FixtureRequest, config: Config, tmp_path: Path) -> str:
    """The model id of a narrow public checkpoint in the registry."""
    file = write_base(request.param, tmp_path / "files")
    vae = write_vae(tmp_path / "vae")
    return import_checkpoint(request.param, file, config, vae=vae, licence="openrail++", size=SIZE)


@pytest.mark.slow
def test_an_imported_base_is_adapted_registered_and_dubs(
    imported: str, config: Config, root: Root, library: Path, tmp_path: Path
) -> None:
    registry = Registry(root)
    start = champion_or_named(root, config, imported)
    assert stage_for(start.path) == "adapt"
    trained = fit("adapt", config, [drawn_clip(seed) for seed in range(2)], start.path, tmp_path / "run")
    assert trained["step"] == STEPS
    licence = licence_of(registry, start, "adapt")
    assert licence == f"openrail++; {DATA_LICENCE}"
    adapted = registry.register(trained["path"], "sd15", parent=imported, stage="adapt", licence=licence)
    model = champion_or_named(root, config, adapted)
    assert licence_of(registry, model, "adapt") == licence, "it goes on, once"
    assert stage_for(model.path) == "adapt"
    assert load_pipeline(model.path).base == load_pipeline(start.path).base

    frames = [frame for _, _, frame in media.iter_frames(library / "welcome.mp4", end_s=0.3)]
    sound = media.read_audio(library / "welcome.mp4", 16000, 0.0, 0.3)
    video = media.write_video(tmp_path / "in.mp4", frames, 25, sound)
    track = media.write_audio(tmp_path / "track.wav", media.read_audio(library / "welcome.dub.wav", 16000, 0.3, 0.6))
    job = Job(str(video), str(track), None, None, str(tmp_path / "out.mp4"))
    (row,) = dub_many([job], model.path, config, model_id=adapted)
    assert (row["status"], row["frames"], row["model_id"]) == ("ok", len(frames), adapted)


def test_no_other_stage_trains_an_imported_base(imported: str, root: Root, config: Config) -> None:
    pipeline = load_pipeline(champion_or_named(root, config, imported).path)
    for stage in set(TRAININGS) - {"adapt"}:
        with pytest.raises(UsageError, match=f"{pipeline.base.kind} is not trained by the stage {stage}"):
            ready_for(stage, pipeline)


def test_our_own_models_are_trained_as_they_were(root: Root) -> None:
    start = champion_or_named(root, load_config(root=root.local))
    assert stage_for(start.path) == "image"
    assert licence_of(Registry(root), start, "image") == DATA_LICENCE
