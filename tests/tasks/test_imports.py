"""Public checkpoints from a file to a dubbed video: imported, recorded, refused where broken, and rendered with."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.checkpoints import CheckpointFile, catalogue
from models.pipeline import DubPipeline, load_pipeline
from models.speech import WhisperEncoder, encode_speech
from storage import media
from storage.errors import ConfigError, InputFailed, UsageError
from storage.layout import Root
from storage.registry import Registry
from tasks import crops, imports
from tasks.animate import animate_image
from tasks.config import Config, load_config
from tasks.dub import dub_video
from tasks.dubber import Dubber, load_dubber
from tasks.dubbing.rendering import window_renderer
from tasks.evaluate_render import render_clip
from tasks.imports import import_checkpoint, read_origin
from tasks.training.data import TrainingClip
from tests.models.test_checkpoints import Trap
from tests.tasks.conftest import FRAMES
from tests.tasks.public_bases import SIZE, write_base, write_vae, write_whisper

KINDS = ("latentsync", "musetalk")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The checkpoints, the autoencoder and whisper."""
    place = tmp_path_factory.mktemp("files")
    made = {kind: write_base(kind, place / kind) for kind in KINDS}
    return made | {"vae": write_vae(place / "vae"), "whisper": write_whisper(place)}


@pytest.fixture(scope="module")
def config(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The sd15 profile with the shipped pack for faces, narrow whisper, and two steps where steps are counted."""
    own: dict[str, Any] = {
        "faces.pack": "studio", "audio.speech": str(files["whisper"]), "audio.sync": "none", "audio.text": "none",
        "audio.emotion": "none", "render.steps": 2, "render.window_frames": 8, "runtime.in_process": True,
        "gate.keep_back": False,
    }  # fmt: skip
    return load_config("sd15", root=tmp_path_factory.mktemp("root"), overrides=own)


@pytest.fixture(scope="module", params=KINDS)
def dubber(request: pytest.FixtureRequest, files: dict[str, Path], config: Config) -> Dubber:
    """All models of a dub with an imported base, out of the registry."""
    kind = request.param
    model_id = import_checkpoint(kind, files[kind], config, vae=files["vae"], name=kind, size=SIZE)
    return load_dubber(Registry(config.root).path(model_id), config, model_id=model_id)


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_an_imported_checkpoint_is_a_model_version_that_says_where_it_came_from(
    dubber: Dubber, files: dict[str, Path], config: Config
) -> None:
    kind = dubber.pipeline.base.kind
    registry = Registry(config.root)
    row = registry.show(dubber.model_id)
    assert (row["stage"], row["name"], row["version"]) == ("imported", kind, 1)
    assert "not known" in row["licence"]
    folder = registry.path(dubber.model_id)
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".safetensors", ".json"}
    origin = read_origin(folder)
    assert origin is not None
    assert origin["sha256"] == hashlib.sha256(files[kind].read_bytes()).hexdigest()
    assert (origin["kind"], origin["published as"], origin["size"]) == (kind, None, SIZE)
    assert origin["note"].startswith("unknown file") and str(files[kind].parent) not in str(origin)
    assert origin.get("temporal layers") is (True if kind == "latentsync" else None)
    registry.verify(dubber.model_id)
    again = import_checkpoint(kind, files[kind], config, vae=files["vae"], name=kind, size=SIZE)
    assert again == dubber.model_id and len(registry.models(kind)) == 1
    assert not [path for path in tree(Root(config.root).cache) if "import" in path]


def test_a_published_file_gives_origin_licence_and_size(
    files: dict[str, Path], config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    digest = hashlib.sha256(files["latentsync"].read_bytes()).hexdigest()
    entry = replace(catalogue()["latentsync_16"], files=(CheckpointFile("latentsync_unet.pt", "", None, digest),))
    monkeypatch.setattr(imports, "catalogue", lambda: {**catalogue(), "latentsync_16": entry})
    elsewhere = config.with_({"root": str(tmp_path)})
    model_id = import_checkpoint("latentsync", files["latentsync"], elsewhere, vae=files["vae"])
    row, folder = Registry(tmp_path).show(model_id), Registry(tmp_path).path(model_id)
    assert row["licence"] == entry.licence and row["name"] == "sd15"
    origin = read_origin(folder)
    assert origin is not None and origin["published as"] == "latentsync_16" and origin["revision"] == entry.revision
    assert load_pipeline(folder).config.crop_size == 512


def broken(how: str, kind: str, source: Path, folder: Path) -> tuple[Path, str]:
    """A file spoiled in one way, and what has to be said of it."""
    path = folder / source.name
    loaded = torch.load(source, weights_only=True)
    weights = loaded["state_dict"] if kind == "latentsync" else loaded
    if how == "truncated":
        path.write_bytes(source.read_bytes()[:-5000])
        return path, "cannot be read as weights"
    if how == "missing key":
        del weights["mid_block.resnets.0.conv1.weight"]
    if how == "wrong shape":
        weights["mid_block.resnets.0.conv1.weight"] = torch.zeros(7, 32, 3, 3)
    if how == "code":
        weights["trap"] = Trap(folder / "sprung")
    torch.save(loaded, path)
    return path, "executable content" if how == "code" else "mid_block.resnets.0.conv1.weight"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["truncated", "missing key", "wrong shape", "code"])
def test_a_file_that_is_not_whole_and_right_is_refused_and_leaves_nothing(
    how: str, kind: str, files: dict[str, Path], config: Config, tmp_path: Path
) -> None:
    path, says = broken(how, kind, files[kind], tmp_path)
    root = Root(tmp_path / "root").create()
    before = tree(root.local)
    with pytest.raises(InputFailed, match=says) as caught:
        import_checkpoint(kind, path, config.with_({"root": str(root)}), vae=files["vae"], size=SIZE)
    assert caught.value.remedy and str(path) in str(caught.value)
    assert tree(root.local) == before
    assert not (tmp_path / "sprung").exists()


def test_what_is_missing_or_does_not_fit_comes_with_a_remedy(
    files: dict[str, Path], config: Config, tmp_path: Path
) -> None:
    elsewhere = config.with_({"root": str(tmp_path / "root")})
    with pytest.raises(UsageError, match="no such file") as caught:
        import_checkpoint("musetalk", tmp_path / "unet.pth", elsewhere, vae=files["vae"])
    assert "huggingface.co/TMElyralab/MuseTalk" in caught.value.remedy
    with pytest.raises(ConfigError, match="checkpoint sd_vae_ft_mse") as missing:
        import_checkpoint("musetalk", files["musetalk"], elsewhere)
    assert "curl -L" in missing.value.remedy
    with pytest.raises(ConfigError, match=r"no config\.json"):
        import_checkpoint("musetalk", files["musetalk"], elsewhere, vae=tmp_path)
    with pytest.raises(ConfigError, match="no multiple of 8"):
        import_checkpoint("musetalk", files["musetalk"], elsewhere, vae=files["vae"], size=60)
    with pytest.raises(UsageError, match="no checkpoint of the kind 'wav2lip'"):
        import_checkpoint("wav2lip", files["musetalk"], elsewhere)
    with pytest.raises(InputFailed, match="takes 13 input channels"):
        import_checkpoint("latentsync", files["musetalk"], elsewhere, vae=files["vae"])
    assert not (tmp_path / "root").exists()


def test_a_dub_keeps_time_and_the_picture_outside_the_face(
    dubber: Dubber, config: Config, talking: Path, track: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    row = dub_video(talking, track, out, config, dubber)
    assert (row["status"], row["frames"], row["faces"]) == ("ok", FRAMES, 1)
    assert row["outside_psnr_db"] >= 40
    assert np.allclose(media.frame_times(out), media.frame_times(talking))
    pairs = zip(media.iter_frames(talking), media.iter_frames(out), strict=True)
    changed = [np.abs(a.astype(int) - b) for (_, _, a), (_, _, b) in pairs]
    assert sum(bool((apart > 30).any()) for apart in changed) >= FRAMES - 2, "an untrained face shows"
    brows = changed[10][: round(0.25 * changed[10].shape[0])]
    assert np.percentile(brows, 99.5) <= 6


def test_a_portrait_speaks_with_an_imported_base(dubber: Dubber, config: Config, talking: Path, tmp_path: Path) -> None:
    import cv2

    still = next(frame for _, _, frame in media.iter_frames(talking))
    assert cv2.imwrite(str(tmp_path / "still.png"), still[..., ::-1])
    track = media.write_audio(tmp_path / "short.wav", media.read_audio(talking)[: round(0.28 * 16000)])
    row = animate_image(tmp_path / "still.png", track, tmp_path / "out.mp4", config, dubber)
    assert (row["status"], row["frames"]) == ("ok", 7)


def test_a_base_hears_whisper_as_it_was_trained_and_nothing_else(
    dubber: Dubber, config: Config, files: dict[str, Path]
) -> None:
    musetalk = dubber.pipeline.base.kind == "musetalk"
    assert isinstance(dubber.speech, WhisperEncoder) and dubber.speech.normed_last is musetalk
    with pytest.raises(ConfigError, match=r"hears whisper's hidden states.*'studio'") as caught:
        load_dubber(Registry(config.root).path(dubber.model_id), config.with_({"audio.speech": "studio"}))
    assert "--profile sd15" in caught.value.remedy


def test_an_imported_base_is_evaluated_on_the_crops_that_a_dataset_keeps(
    dubber: Dubber, config: Config, talking: Path
) -> None:
    frames = [frame for _, _, frame in media.iter_frames(talking)][:6]
    faces = [dubber.experts.faces.detect(frame, embed=False)[0] for frame in frames]
    matrices = [crops.crop_matrix(face.kps) for face in faces]
    clip = TrainingClip(
        "clip", "one", "val", np.stack([crops.warp(frame, at) for frame, at in zip(frames, matrices, strict=True)]),
        np.zeros((6, 128, 128), np.uint8),
        np.stack([crops.transform_points(at, face.landmarks) for at, face in zip(matrices, faces, strict=True)]),
        np.arange(6) / 25, media.read_audio(talking)[: round(0.24 * 16000)], None, np.zeros(6, np.float32), "happy", 1,
    )  # fmt: skip
    features = encode_speech(dubber.speech, clip.audio)
    quick = config.with_({"evaluate.steps": 1, "render.guidance_audio": 1.0})
    made = render_clip(dubber.pipeline, clip, features, quick)
    changed = np.abs(made.astype(int) - clip.frames).max(axis=(0, 3))
    assert made.shape == clip.frames.shape
    assert changed[95, 64] > 20, "the mouth is repainted"
    assert changed[:45].max() == 0 and changed[:, :4].max() == 0, "the eyes are not, nor what lies beside the face"
    assert np.array_equal(made, render_clip(dubber.pipeline, clip, features, quick))


def test_steps_and_guidance_are_the_base_s_own_unless_they_are_said(
    dubber: Dubber, config: Config, talking: Path, track: Path
) -> None:
    pipeline = dubber.pipeline
    base = pipeline.base
    assert load_config("sd15").render.steps is None and load_config("sd15").render.guidance_audio is None
    assert (base.steps, base.guidance_audio) == ((20, 1.5) if base.kind == "latentsync" else (1, 1.0))
    quick = asdict(base) | {"steps": 1 if base.direct else 3}  # twenty take their time
    models = replace(dubber, pipeline=DubPipeline(**pipeline.components, **pipeline.settings | {"base": quick}))
    voice, frame = models.hear(track), next(frame for _, _, frame in media.iter_frames(talking))
    crop = np.ascontiguousarray(frame[:SIZE, :SIZE])

    def rendered(steps: int | None = None, guidance_audio: float | None = None) -> np.ndarray:
        chosen = config.with_({"render.steps": steps, "render.guidance_audio": guidance_audio})
        renderer = window_renderer(SIZE, lambda times: crop, None, 0, voice, chosen, models)
        for index in range(2):
            renderer.push(index, crop, 0.2 + index / 25)
        return np.stack([made for _, made in renderer.finish()])

    said_nothing = rendered()
    assert np.array_equal(said_nothing, rendered(quick["steps"], base.guidance_audio))
    assert np.array_equal(said_nothing, rendered(2, base.guidance_audio)) == base.direct, "one evaluation has no steps"
    assert not np.array_equal(said_nothing, rendered(guidance_audio=2.5))
