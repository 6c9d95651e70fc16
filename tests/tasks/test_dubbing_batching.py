"""Windows of several files in one call: the same pictures as one by one, and no thread left waiting."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.pipeline import DubPipeline
from models.temporal import build_motion_adapter
from tasks.dubber import Dubber
from tasks.dubbing.batching import Batcher, together
from tasks.masks import model_mask

SIZE, FRAMES = 32, 4
OPTIONS: dict[str, Any] = {
    "num_inference_steps": 2, "guidance_audio": 1.5, "guidance_identity": 1.0, "guidance_emotion": 1.0,
}  # fmt: skip


@pytest.fixture(scope="module", params=["frames", "windows"])
def pipeline(request: pytest.FixtureRequest, dubber: Dubber) -> DubPipeline:
    """The untrained pipeline, exact; in windows: with temporal attention that does something."""
    own = dubber.pipeline
    parts = dict(own.components)
    if request.param == "windows":
        torch.manual_seed(3)
        parts["motion_adapter"] = build_motion_adapter(own.unet)
        for name, parameter in parts["motion_adapter"].named_parameters():
            if "proj_out" in name:
                torch.nn.init.normal_(parameter, std=0.2)
    made = DubPipeline(**parts, **own.settings)
    made.compute_dtype = torch.float32
    made.set_progress_bar_config(disable=True)
    return made


def window(pipeline: DubPipeline, seed: int, frames: int = FRAMES, width: int = 0) -> tuple[tuple[Any, ...], Any]:
    """What one file asks for: positional arguments and its noise."""
    draw = np.random.default_rng(seed)
    pictures = draw.integers(0, 255, (frames, SIZE, SIZE, 3), dtype=np.uint8)
    tokens = torch.randn(frames, 10, width, generator=torch.Generator().manual_seed(seed))
    face = draw.normal(size=512).astype(np.float32)
    given = (pictures, model_mask("studio", SIZE), pictures[0], tokens, face / np.linalg.norm(face), None)
    return given, pipeline.sample_noise(torch.Generator().manual_seed(seed))


def asked(pipeline: DubPipeline, seeds: list[int], width: int) -> list[Callable[[Any], NDArray[np.uint8]]]:
    """A call for each seed that asks for two windows, one after the other."""

    def call(seed: int) -> Callable[[Any], NDArray[np.uint8]]:
        def ask(generate: Any) -> NDArray[np.uint8]:
            parts = [window(pipeline, seed + number, width=width) for number in (0, 100)]
            return np.concatenate([generate(*given, **OPTIONS, initial_noise=noise) for given, noise in parts])

        return ask

    return [call(seed) for seed in seeds]


def test_together_they_are_what_they_are_alone(pipeline: DubPipeline, dubber: Dubber) -> None:
    calls = asked(pipeline, [1, 2, 3], dubber.speech.width)
    alone = [call(pipeline) for call in calls]
    batcher = Batcher(pipeline, len(calls))
    made = together(pipeline, calls, batcher)
    assert batcher.calls == 2
    for one, other in zip(alone, made, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1
    assert np.abs(alone[0].astype(int) - alone[1]).max() > 20


def test_one_that_fails_or_ends_early_keeps_nobody_waiting(pipeline: DubPipeline, dubber: Dubber) -> None:
    def fails(generate: Any) -> str:
        raise ValueError("broken film")

    def ends(generate: Any) -> str:
        return "nothing to do"

    (usual,) = asked(pipeline, [1], dubber.speech.width)
    with pytest.raises(ValueError, match="broken film"):
        together(pipeline, [usual, fails, ends])
    results = together(pipeline, [ends, usual])
    assert results[0] == "nothing to do"
    assert results[1].shape == (2 * FRAMES, SIZE, SIZE, 3)


def test_windows_that_differ_in_kind_are_rendered_apart(pipeline: DubPipeline, dubber: Dubber) -> None:
    width = dubber.speech.width

    def shorter(generate: Any) -> NDArray[np.uint8]:
        given, noise = window(pipeline, 9, frames=2, width=width)
        return np.asarray(generate(*given, **OPTIONS, initial_noise=noise))

    (usual,) = asked(pipeline, [1], width)
    one, other = together(pipeline, [usual, shorter])
    assert (len(one), len(other)) == (2 * FRAMES, 2)
    given, noise = window(pipeline, 9, frames=2, width=width)
    assert np.abs(other.astype(int) - pipeline(*given, **OPTIONS, initial_noise=noise)).max() <= 1


def test_an_error_of_the_model_reaches_all_that_asked(pipeline: DubPipeline, dubber: Dubber) -> None:
    def wrong(generate: Any) -> Any:
        given, noise = window(pipeline, 9, width=dubber.speech.width)
        return generate(given[0][:, :16], *given[1:], **OPTIONS, initial_noise=noise)

    with pytest.raises(ValueError, match="broadcast"):
        together(pipeline, [wrong, wrong])
