"""The training stages by name. Those of the diffusion model go through Ray Train, those of the experts run here."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from models.faces import PACKS
from storage.errors import ConfigError, UsageError
from tasks.training.denoiser_stages import TRAININGS

FACE_STAGES = {
    "facepack": ("detector", "landmarks", "recogniser"),
    "detector": ("detector",),
    "landmarks": ("landmarks",),
    "recogniser": ("recogniser",),
}
EXPERT_STAGES = ("autoencoder", "speech", "sync", "text", "emotion", "align", "interpolator", *FACE_STAGES)
STAGES = (*TRAININGS, *EXPERT_STAGES)
NEED_CORPUS = ("autoencoder", "sync", "emotion", "interpolator")
SPEAKING = ("speech", "sync", "emotion")

Say = Callable[[str], None]


def train_expert(
    stage: str,
    out: Path,
    *,
    corpus: Path | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    device: str = "cpu",
    seed: int = 0,
    say: Say,
) -> dict[str, Any]:
    """Train an expert into `out` and measure it on people or sentences it never saw; returns the measures.

    Args:
        corpus: a rendered studio corpus (`dubwright studio render`); those that speak or draw themselves need none.
        minutes: time budget; None takes the stage's own, with which the shipped one was made.
        steps: instead of a time budget, where the stage counts steps.

    Raises:
        UsageError: an unknown stage, or no corpus where one is needed.
        ConfigError: the stage needs the optional extra `studio`.
    """
    if stage not in EXPERT_STAGES:
        raise UsageError(f"there is no training stage {stage!r}", f"choose one of: {', '.join(STAGES)}")
    if stage in NEED_CORPUS and corpus is None:
        raise UsageError(f"--stage {stage} needs --corpus DIR", "make one with `dubwright studio render DIR`")
    if stage in SPEAKING and find_spec("espeakng_loader") is None:
        raise ConfigError(f"--stage {stage} speaks through espeak-ng, an extra", "pip install 'dubwright[studio]'")
    budget: dict[str, Any] = {} if minutes is None else {"minutes": minutes}
    if stage in FACE_STAGES:
        return _train_faces(stage, out, corpus, budget, steps, device, seed, say)
    if stage == "text":
        from tasks.training.text import train_text

        return dict(train_text(out, steps=steps, seed=seed, **budget))
    if stage == "speech":
        from tasks.training.speech import train_speech

        return dict(train_speech(out, steps=steps, device=device, seed=seed, **budget))
    if stage == "align":
        from tasks.training.align import train_align

        return dict(train_align(out, _expressions(out, device), steps=steps, device=device, seed=seed, **budget))
    assert corpus is not None
    if stage == "sync":
        from tasks.training.sync import train_sync

        return dict(train_sync(corpus, out, steps=steps, device=device, seed=seed, **budget))
    if stage == "emotion":
        from tasks.training.emotion import train_emotion

        return dict(train_emotion(corpus, out, steps=steps, device=device, seed=seed, **budget))

    def tell(measures: Mapping[str, float]) -> None:
        say(", ".join(f"{name} {value:.4g}" for name, value in measures.items()))

    if stage == "interpolator":
        from tasks.training.interpolator import train_interpolator

        return dict(train_interpolator(corpus, out, steps=steps, device=device, seed=seed, report=tell, **budget))
    from tasks.training.autoencoder import train_autoencoder

    return train_autoencoder(
        corpus, out, steps=steps, minutes=minutes if steps else minutes or 60.0, device=device,
        expressions=_expressions(out, device), report=tell,
    )  # fmt: skip


def _expressions(out: Path, device: str) -> Path:
    """The pictures of many people in every emotion, beside `out`; rendered where they are missing."""
    from tasks.training.expressions import render_expressions

    folder = out.parent / "expressions"
    for _ in render_expressions(folder, device=device):
        pass
    return folder


def _train_faces(
    stage: str,
    out: Path,
    corpus: Path | None,
    budget: dict[str, Any],
    steps: int | None,
    device: str,
    seed: int,
    say: Say,
) -> dict[str, Any]:
    from tasks.training.facepack import train_face_pack

    shipped = PACKS / "studio" / "faces"
    if not out.exists() and any(shipped.glob("*.onnx")):
        shutil.copytree(shipped, out)  # a network that is not trained now keeps its weights, so that the pack is whole
    return dict(
        train_face_pack(
            out,
            out.parent / "stills",
            corpus,
            steps=steps,
            networks=FACE_STAGES[stage],
            device=device,
            seed=seed,
            log=say,
            **budget,
        )
    )
