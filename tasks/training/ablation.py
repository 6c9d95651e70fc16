"""What each part is worth: the same start, data, steps and seeds, with and without it (MF-ETalk's form).

    python -m tasks.training.ablation START OUT --latents FILES.json --clips CORPUS --steps 300 --seeds 0 1

START is a trained pipeline without the parts. OUT/SEED/VARIANT holds each run and its metrics; what is finished is not
made again. OUT/table.json has the means over seeds and their spread.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from models.emotion import EMOTIONS, load_face_emotion
from models.pipeline import load_pipeline
from models.speech import encode_speech, load_speech_encoder
from storage.atomic import written_aside
from tasks.captions import sentence
from tasks.config import Config, load_config
from tasks.emotion import face_emotion
from tasks.evaluate import evaluate
from tasks.evaluate_render import held_out, render_clip
from tasks.training.checkpoints import Checkpoints
from tasks.training.data import Rows
from tasks.training.denoiser_stages import ready_for
from tasks.training.schedule import ImageRun
from tasks.training.train_loop import FitJob, train_loop

log = logging.getLogger(__name__)

VARIANTS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "base": (("emotion",), {}),
    "+ AU and fusion": (("emotion", "action_units", "fusion"), {}),
    "+ emotion loss": (("emotion", "action_units", "fusion"), {"emotion_weight": 0.06}),
}
"""Name → (branches, settings of the run); each has what the one before has."""
SHOWN = ("fid", "lse_c", "lse_d", "efid", "mouth_correlation", "emotion_accuracy", "identity")
FRAMES = 8  # rendered of each clip in each emotion


def ablate(
    start: Path,
    out: Path,
    files: Sequence[Path],
    clips: Rows,
    config: Config,
    steps: int,
    seeds: Sequence[int],
    space: str = "",
    settings: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, dict[str, float]]]:
    """Train and measure every variant with every seed: variant → metric → {"mean", "spread"}; also in OUT/table.json.

    The spread is the standard deviation over the seeds (0 of a single one).

    Args:
        files: latents to train on. clips: held-out clips, see `tasks.evaluate`.
        space: folder of the aligned emotion space; "" begins with an untrained one.
        settings: of `ImageRun`, shared by all.
    """
    found: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    for seed in seeds:
        for number, (name, (parts, changes)) in enumerate(VARIANTS.items()):
            folder = out / str(seed) / str(number)
            noted = folder / "metrics.json"
            if not noted.is_file():
                run = ImageRun(**({"steps": steps, "seed": seed} | dict(settings or {}) | changes))
                model = _trained(start, folder, files, run, parts, space, config.model.control_share)
                metrics = measured(model, clips, config)
                with written_aside(noted) as partial:
                    partial.write_text(json.dumps(metrics, indent=1))
                shown = {key: round(metrics[key], 4) for key in SHOWN if key in metrics}
                log.info("seed %d, %s: %s", seed, name, shown)
            found[name].append(json.loads(noted.read_text()))
    table = {name: _summary(runs) for name, runs in found.items()}
    with written_aside(out / "table.json") as partial:
        partial.write_text(json.dumps(table, indent=1))
    return table


def measured(model: Path, clips: Rows, config: Config) -> dict[str, float]:
    """The metric table with the clips' own sound, and in how many renderings the judge reads the emotion asked for."""
    metrics = dict(evaluate(model, clips, config, shuffled=False)["metrics"])
    pipeline, speech = load_pipeline(model), load_speech_encoder(config.audio.speech)
    judge, right = load_face_emotion(config.audio.emotion, "judge"), []
    for clip in held_out(clips, config):
        features = encode_speech(speech, clip.audio)
        for emotion in EMOTIONS:
            text = sentence(emotion, 0 if emotion == "neutral" else 3)
            made = render_clip(pipeline, clip, features, config, frames=FRAMES, emotion=text, whole_face=True)
            right.append(face_emotion(list(made), judge).emotion == emotion)
    return metrics | {"emotion_accuracy": float(np.mean(right))}


def _trained(
    start: Path,
    folder: Path,
    files: Sequence[Path],
    run: ImageRun,
    parts: tuple[str, ...],
    space: str,
    control_share: float,
) -> Path:
    begun = folder / "start"
    if not (begun / "model_index.json").is_file():
        ready_for("image", load_pipeline(start), parts, space, control_share).save_pretrained(str(begun))
    job = FitJob(
        start=str(begun), files=tuple(map(str, files)), run=asdict(run), out=str(folder), threads=1,
        checkpoint_every=run.steps, log_every=50,
    )  # fmt: skip
    train_loop(job, 0, 1, lambda metrics: None)
    last = Checkpoints(folder).last
    assert last is not None  # the loop ends with one
    return last / "pipeline"


def _summary(runs: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    shared = [name for name in SHOWN if all(name in run for run in runs)]
    values = {name: np.array([run[name] for run in runs]) for name in shared}
    freedom = min(1, len(runs) - 1)
    return {name: {"mean": float(v.mean()), "spread": float(v.std(ddof=freedom))} for name, v in values.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module."""
    about = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m tasks.training.ablation", description=about)
    parser.add_argument("start", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--latents", type=Path, required=True, help="JSON list of cached clips")
    parser.add_argument("--clips", type=Path, required=True, help="dataset or rendered corpus to measure on")
    parser.add_argument("--space", default="", help="folder of the aligned emotion space")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--count", type=int, default=4, help="held-out clips")
    parser.add_argument("--seconds", type=float, default=3.0, help="rendered of each")
    parser.add_argument("--guidance", type=float, default=2.5, help="of the emotion, when measured")
    parser.add_argument("--rate", type=float, default=4e-4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    config = load_config("studio", str(chosen.out), {
        "evaluate.clips": chosen.count, "evaluate.seconds": chosen.seconds, "evaluate.split": "test",
        "render.guidance_audio": 1.0, "render.guidance_emotion": chosen.guidance,
    })  # fmt: skip
    files = [Path(file) for file in json.loads(chosen.latents.read_text())]
    table = ablate(
        chosen.start, chosen.out, files, chosen.clips, config, chosen.steps, chosen.seeds, chosen.space,
        {"rate": chosen.rate, "branch_rate": 2.5, "ema_decay": 0.98, "final_rate": 0.2, "whole_face": 0.6},
    )  # fmt: skip
    for _name, _metrics in table.items():
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
