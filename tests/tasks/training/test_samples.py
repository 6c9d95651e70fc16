"""Pictures of a training under way: they show what they should and leave the training as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from models.dub_pipeline import DubPipeline
from models.imported import build_imported
from models.latentsync import load_latentsync
from models.musetalk import load_musetalk
from models.pipeline import load_pipeline
from models.speech import load_speech_encoder
from tasks.config import Config
from tasks.masks import model_mask
from tasks.training.curve import read_curve
from tasks.training.data import decode_clip
from tasks.training.image import ImageRun, ImageTraining
from tasks.training.latents import LatentCache, cache_clips
from tasks.training.ray_fit import fit
from tasks.training.samples import averaged, last_samples, of_different_people, render_samples
from tests.models.narrow_releases import narrow_vae
from tests.tasks.public_bases import write_base, write_whisper
from tests.tasks.training.conftest import SIZE, drawn_clip

Rows = list[dict[str, Any]]


def test_a_run_with_pictures_has_the_curve_and_the_weights_of_one_without(
    tiny_config: Config, tiny_models: dict[str, Path], rows: Rows, tmp_path: Path
) -> None:
    with_pictures, without = tmp_path / "with", tmp_path / "without"
    results = [
        fit("image", tiny_config.with_({"train.samples_every": every}), rows, tiny_models["pipeline"], out)
        for every, out in ((2, with_pictures), (0, without))
    ]
    assert results[0]["losses"] == results[1]["losses"]
    norms = [[entry["grad_norm"] for entry in read_curve(out)] for out in (with_pictures, without)]
    assert norms[0] == norms[1]
    weights = "unet/diffusion_pytorch_model.safetensors"
    assert (Path(results[0]["path"]) / weights).read_bytes() == (Path(results[1]["path"]) / weights).read_bytes()
    pictures = sorted((with_pictures / "samples").iterdir())
    assert [path.name for path in pictures] == ["step-00000002.jpg", "step-00000004.jpg", "step-00000006.jpg"]
    assert results[0]["samples"] == pictures[-1] == last_samples(with_pictures)
    assert results[1]["samples"] is None
    grid = cv2.imread(str(pictures[-1]))
    assert grid.shape[1] == 4 * SIZE and grid.shape[0] > SIZE, "one held-out clip, under a line of names"


def test_a_grid_shows_reference_mask_rendering_and_truth(
    tiny_models: dict[str, Path], rows: Rows, tmp_path: Path
) -> None:
    pipeline = load_pipeline(tiny_models["pipeline"])
    clips = [decode_clip(row) for row in rows]
    cache = LatentCache(tmp_path, pipeline.vae, load_speech_encoder(str(tiny_models["speech"])))
    files = cache_clips(clips, cache, mirror=False)
    grid = render_samples(pipeline, files, steps=2)
    assert grid.shape == (4 * SIZE, 4 * SIZE, 3) and grid.dtype == np.uint8
    assert np.array_equal(grid, render_samples(pipeline, files, steps=2)), "the same noise each time"
    reference, masked, rendered, truth = (grid[:SIZE, i * SIZE : (i + 1) * SIZE].astype(int) for i in range(4))
    assert (masked[SIZE * 3 // 4, SIZE // 2] == 0).all() and (masked[: SIZE // 3] == truth[: SIZE // 3]).all()
    assert (rendered[: SIZE // 3] == truth[: SIZE // 3]).all(), "nothing is repainted above the region"
    assert np.abs(rendered - truth).max() > 0 and np.abs(reference - truth).max() > 0

    training = ImageTraining(pipeline, files, ImageRun(steps=4, batch_size=2, rate=0.01, warmup=0, precision="fp32"))
    training.train_step()
    before = {name: value.clone() for name, value in training.denoiser.state_dict().items()}
    with averaged(training):
        inside = [parameter.clone() for parameter in training.denoiser.parameters()]
        assert not training.denoiser.training
    assert training.denoiser.training
    for shadow, parameter in zip(training.ema.shadow_params, inside, strict=True):
        assert torch.equal(shadow, parameter)
    assert all(torch.equal(value, before[name]) for name, value in training.denoiser.state_dict().items())


@pytest.mark.parametrize("kind", ["latentsync", "musetalk"])
def test_an_imported_base_shows_what_it_renders(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own mask, the frame itself as its reference, and in a window where it normalises over that."""
    read = load_latentsync if kind == "latentsync" else load_musetalk
    size = 2 * SIZE  # the narrow networks normalise a single pixel by itself at less
    pipeline = build_imported(read(write_base(kind, tmp_path)), narrow_vae(), size)
    speech = load_speech_encoder(write_whisper(tmp_path))
    cache = LatentCache(tmp_path / "latents", pipeline.vae, speech, base=pipeline.base, size=size)
    files = cache_clips([decode_clip(drawn_clip(0, frames=5))], cache, mirror=False)
    calls: list[tuple[Any, ...]] = []
    render = DubPipeline.__call__

    def noted(self: DubPipeline, *given: Any, **options: Any) -> Any:
        calls.append(given)
        return render(self, *given, **options)

    monkeypatch.setattr(DubPipeline, "__call__", noted)
    grid = render_samples(pipeline, files, steps=1)
    ((frames, mask, references),) = calls
    assert len(frames) == (5 if kind == "latentsync" else 1)
    assert np.array_equal(frames, references) and np.array_equal(mask, model_mask(kind, size))
    assert grid.shape == (size, 4 * size, 3)
    assert np.array_equal(grid[: size // 3, 2 * size : 3 * size], frames[len(frames) // 2][: size // 3])


def test_different_people_are_shown_where_there_are_some() -> None:
    clips = [decode_clip(drawn_clip(seed, frames=2, speaker=name)) for seed, name in enumerate("aaabbc")]
    assert [clip.speaker for clip in of_different_people(clips)] == ["a", "b", "c", "a"]
    assert [clip.speaker for clip in of_different_people(clips[:2])] == ["a", "a"]
    assert of_different_people([]) == []
