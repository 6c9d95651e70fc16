"""The pipeline with every part of the method: conditions optional at call time, a scale each, saved and loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.action_units import AUS
from models.autoencoder import build_autoencoder
from models.dub_pipeline import DubPipeline
from models.emotion import FaceEmotion
from models.emotion_control import EmotionSpace
from models.pipeline import PARTS, add_parts, build_pipeline, load_pipeline
from models.text import PACKS, build_text, load_text

SIZE, FRAMES = 32, 6
WIDTHS = {
    "studio": {
        "block_out_channels": (16, 32, 32), "cross_attention_dim": 32, "sample_size": 4,
        "projection_class_embeddings_input_dim": 16,
    },
    "sd15": {
        "block_out_channels": (16, 32, 32, 32), "cross_attention_dim": 24, "attention_head_dim": 2,
        "norm_num_groups": 8, "sample_size": 4,
    },
}  # fmt: skip
VAE = {"block_out_channels": (8, 8, 16, 16), "norm_num_groups": 8, "sample_size": SIZE}


def narrow(profile: str, **options: Any) -> DubPipeline:
    """A profile's pipeline with its own blocks, schedule and connections, and few channels."""
    torch.manual_seed(0)
    built = build_pipeline(
        profile, build_autoencoder(profile, **VAE), SIZE, identity_dim=8, audio_dim=24, unet=WIDTHS[profile], **options
    )
    built.compute_dtype = torch.float32
    return built


def wake(pipeline: DubPipeline) -> DubPipeline:
    """Give every output that starts at zero something to say."""
    torch.manual_seed(2)
    for name, parameter in pipeline.denoiser.named_parameters():
        if not name.startswith("unet") and parameter.numel() > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return pipeline


def given(pipeline: DubPipeline, **changes: Any) -> dict[str, Any]:
    """Arguments of a call with every condition."""
    rng = np.random.default_rng(0)
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[8:30, 4:28] = 1
    everything = {
        "frames": rng.integers(0, 255, (FRAMES, SIZE, SIZE, 3), dtype=np.uint8),
        "mask": mask,
        "reference": rng.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8),
        "audio_tokens": rng.standard_normal((FRAMES, 10, 24)).astype(np.float32),
        "identity": np.eye(8, dtype=np.float32)[0],
        "emotion": "barely holding back tears",
        "action_units": rng.random((FRAMES, len(AUS)), dtype=np.float32),
        "num_inference_steps": 2,
        "initial_noise": pipeline.sample_noise(torch.Generator().manual_seed(0)),
    }
    return everything | changes


@pytest.fixture(scope="module", params=["studio", "sd15"])
def pipeline(request: pytest.FixtureRequest) -> DubPipeline:
    built = wake(narrow(request.param, parts=PARTS))
    built.register_to_config(window=4, window_overlap=2)
    return built


@pytest.fixture(scope="module")
def whole(pipeline: DubPipeline) -> np.ndarray:
    return pipeline(**given(pipeline))


@pytest.mark.parametrize("profile", ["studio", "sd15"])
def test_parts_that_are_new_change_nothing(profile: str) -> None:
    bare = narrow(profile)
    grown = add_parts(bare, image_dim=8)
    assert grown.emotion_control is not None and grown.motion_adapter is not None
    # the same windows for both: temporal attention sees all frames of this call at once
    expected = bare(**given(bare, emotion=None, action_units=None))
    assert np.array_equal(grown(**given(grown)), expected)


def test_a_model_of_sd15_size_takes_twenty_steps_where_nobody_says_how_many() -> None:
    assert narrow("sd15").base.steps == 20
    assert narrow("studio").base.steps == 10


@pytest.mark.parametrize("left_out", ["audio_tokens", "identity", "emotion", "action_units"])
def test_each_condition_matters_and_can_be_left_out(pipeline: DubPipeline, whole: np.ndarray, left_out: str) -> None:
    without = pipeline(**given(pipeline, **{left_out: None}))
    assert without.shape == whole.shape
    assert not np.array_equal(without, whole)


@pytest.mark.parametrize("named", ["emotion", "action_units"])
def test_guidance_of_zero_takes_a_condition_out(pipeline: DubPipeline, named: str) -> None:
    others = {name: None for name in ("audio_tokens", "identity", "emotion", "action_units") if name != named}
    zero = pipeline(**given(pipeline, **others, **{f"guidance_{named}": 0.0}))
    without = pipeline(**given(pipeline, **others, **{named: None}))
    stronger = pipeline(**given(pipeline, **others, **{f"guidance_{named}": 3.0}))
    assert np.abs(zero.astype(int) - without).max() <= 1
    assert np.abs(stronger.astype(int) - without).mean() > 1


def test_an_embedding_is_as_good_as_its_text(pipeline: DubPipeline, whole: np.ndarray) -> None:
    embedding = pipeline.encode_emotion("barely holding back tears")
    assert embedding.shape == (1, 128)
    assert np.array_equal(pipeline(**given(pipeline, emotion=embedding[0].numpy())), whole)
    one_a_frame = pipeline(**given(pipeline, emotion=embedding.expand(FRAMES, -1)))
    assert np.array_equal(one_a_frame, whole)


def test_saved_and_loaded_it_renders_the_same(pipeline: DubPipeline, whole: np.ndarray, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path / "first")
    load_pipeline(tmp_path / "first").save_pretrained(tmp_path / "second")  # a loaded one knows where it came from
    loaded = load_pipeline(tmp_path / "second")
    loaded.compute_dtype = torch.float32
    saved, again = pipeline.denoiser.state_dict(), loaded.denoiser.state_dict()
    assert saved.keys() == again.keys() and all(torch.equal(saved[name], again[name]) for name in saved)
    # weights that are mapped from a file lie elsewhere in memory, and kernels round by where they lie
    difference = np.abs(loaded(**given(loaded)).astype(int) - whole)
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3
    assert loaded.settings == pipeline.settings
    assert not [file for kind in ("*.bin", "*.pt", "*.pkl") for file in tmp_path.rglob(kind)]
    for file in (tmp_path / "second").rglob("*.json"):
        assert str(tmp_path) not in file.read_text(), file
        assert "_name_or_path" not in json.loads(file.read_text())


def test_several_unets_are_saved_and_take_their_timesteps(tmp_path: Path) -> None:
    built = narrow("studio")
    torch.manual_seed(5)
    later = narrow("studio").unet
    for parameter in later.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    routed = DubPipeline(**(dict(built.components) | {"unet_2": later}), **(built.settings | {"boundaries": [500]}))
    routed.save_pretrained(tmp_path)
    loaded = load_pipeline(tmp_path)
    calls: list[str] = []
    for name in ("unet", "unet_2"):
        getattr(loaded, name).register_forward_hook(lambda *_, name=name: calls.append(name))
    loaded(**given(loaded, emotion=None, action_units=None, guidance_audio=1.0, num_inference_steps=4))
    assert calls == ["unet", "unet", "unet_2", "unet_2"]  # 999, 749 | 499, 249


def test_a_text_encoder_of_its_own_is_saved_with_it(tmp_path: Path) -> None:
    built = narrow("studio", parts=["emotion"], text_dim=16)
    with pytest.raises(ValueError, match="text_encoder"):
        built(**given(built))
    tokenizer, encoder = build_text(["a happy face", "a sad face"], width=16, vocabulary=300)
    own = dict(built.components) | {"tokenizer": tokenizer, "text_encoder": encoder.eval()}
    wake(DubPipeline(**own, **built.settings)).save_pretrained(tmp_path)
    loaded = load_pipeline(tmp_path)
    assert not np.array_equal(loaded(**given(loaded, emotion="happy")), loaded(**given(loaded, emotion="sad")))


def test_what_the_reference_feels_enters_the_joint_embedding(tmp_path: Path) -> None:
    torch.manual_seed(3)
    recogniser = FaceEmotion().eval()
    space = EmotionSpace(128, 8 + recogniser.config.width)
    torch.nn.init.normal_(space.mix[-1].weight)
    bare = narrow("studio")
    grown = add_parts(bare, ["emotion"], emotion_space=space, face_emotion=recogniser)
    wake(grown).save_pretrained(tmp_path)
    loaded = load_pipeline(tmp_path)
    seen: list[torch.Tensor] = []
    loaded.emotion_space.image.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    call = given(loaded, identity=None)
    call["reference"] = np.repeat(call["reference"][None], FRAMES, 0)  # one a frame
    loaded(**call)
    loaded(**given(loaded))
    assert [part.shape for part in seen] == [(FRAMES, 8 + recogniser.config.width)] * 2
    assert not seen[0][:, :8].any() and seen[1][:, :8].any()  # nobody known, then somebody
    assert torch.allclose(seen[0][:, 8:], seen[1][:, 8:], atol=1e-5)


def test_values_for_other_frames_are_refused(pipeline: DubPipeline) -> None:
    with pytest.raises(ValueError, match="action_units of 4 frames"):
        pipeline(**given(pipeline, action_units=np.zeros((4, len(AUS)), np.float32)))


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(ValueError, match="no such part: hair"):
        narrow("studio", parts=["hair"])


def test_the_shipped_champion_grown_by_all_parts_renders_the_same() -> None:
    champion = load_pipeline(PACKS / "studio" / "champion")
    rng = np.random.default_rng(0)
    call: dict[str, Any] = {
        "frames": rng.integers(0, 255, (3, 128, 128, 3), dtype=np.uint8),
        "mask": np.pad(np.ones((56, 100), np.float32), ((68, 4), (14, 14))),
        "reference": rng.integers(0, 255, (128, 128, 3), dtype=np.uint8),
        "audio_tokens": rng.standard_normal((3, 10, 192)).astype(np.float32),
        "identity": np.eye(512, dtype=np.float32)[0],
        "num_inference_steps": 2,
        "initial_noise": champion.sample_noise(torch.Generator().manual_seed(0)),
    }
    champion.compute_dtype = torch.float32
    asked: dict[str, Any] = {"emotion": "furious", "guidance_emotion": 2.0}
    expected = champion(**call, **asked)
    grown = add_parts(champion)
    assert grown.motion_adapter is not None
    assert np.array_equal(grown(**call, **asked), expected)
    text, scales = load_text("studio"), (2.5, 1.0, 2.5, 4.0)
    felt = text.encode(["calm", "furious", "calm"])[1]
    fits = float(np.interp(float(text.intensities(felt)[1]), range(4), scales))
    by_intensity = champion(**call, emotion="furious", guidance_emotion=scales)
    assert np.abs(champion(**call, emotion="furious", guidance_emotion=fits).astype(int) - by_intensity).max() <= 1
    mixed = champion(**call, emotion=felt, guidance_emotion=scales, batch_size=2)
    assert np.abs(mixed[1].astype(int) - by_intensity[1]).max() <= 1, "every frame has its own scale"
    calm = champion(**call | {"num_inference_steps": 1}, emotion="calm and at ease")
    furious = champion(**call | {"num_inference_steps": 1}, emotion="furious")
    assert np.abs(calm.astype(int) - furious).mean() > 0.1, "it follows the text"
