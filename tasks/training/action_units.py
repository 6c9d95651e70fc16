"""Trains the reader of action units on rendered expressions and a talking corpus, whose units are known exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.action_unit_reader import ActionUnitReader, load_action_units
from models.action_units import AUS
from models.emotion import WINDOW
from models.saving import save_model
from tasks.training.emotion_faces import (
    MARGIN,
    SIDE,
    Faces,
    Lot,
    corpus_faces,
    expression_faces,
    fast,
    inner,
    known_faces,
    vary,
)
from tasks.training.expert_loop import Budget, train_expert

READ = 64
"""Pixels that the reader sees its window at."""
STEPS = 6000
"""What the shipped reader took, where neither steps nor minutes are given."""
MIRRORED = np.array([AUS.index(name[:-1] + {"L": "R", "R": "L"}[name[-1]] if name[-1] in "LR" else name)
                        for name in AUS])  # fmt: skip
"""Where each unit is found in a mirrored face."""
LOWER_AUS = ("AU10", "AU12L", "AU12R", "AU14L", "AU14R", "AU15", "AU17", "AU20", "AU23", "AU25", "AU26")
"""The units of mouth, cheeks below the nose, and chin."""


def train_action_units(
    expressions: Path,
    out_dir: Path,
    corpus: Path | None = None,
    cache: Path | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    batch_size: int = 64,
    device: str = "cpu",
    seed: int = 0,
    stills: Path | None = None,
    moods: Path | None = None,
) -> dict[str, float]:
    """Train the reader on the people of `expressions` (and of `corpus`) that are not held out, and save it.

    Args:
        expressions: what tasks/training/expressions.py rendered.
        out_dir: config.json and float16 safetensors go there.
        corpus, moods: talking corpora besides; their crops are kept under `cache`.
        stills: stills of many people: most of what is learned comes from them.

    Returns what `train_expert` does, and `evaluate_action_units` on the people held out of the expressions and (named
    corpus_…, moods_…) of the corpora.
    """
    steps = STEPS if steps is None and minutes is None else steps
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    cache = cache or expressions / "cache"
    faces = known_faces([path for path in (corpus, moods) if path is not None], cache, expressions, stills)
    lot = Lot(faces, np.arange(len(faces)))
    spread = torch.from_numpy(np.maximum(faces.aus.std(0), 0.03)).to(device)
    model = ActionUnitReader(side=READ, window=WINDOW).to(device)

    def loss_of_batch(progress: float) -> tuple[Tensor, dict[str, float]]:
        index = np.array([lot.draw(rng) for _ in range(batch_size)])
        mirror = rng.random(batch_size) < 0.5
        seen = [vary(faces.pictures[i], MARGIN, rng, bool(turn)) for i, turn in zip(index, mirror, strict=True)]
        wanted = np.where(mirror[:, None], faces.aus[index][:, MIRRORED], faces.aus[index])
        with fast(device):
            units = model(torch.from_numpy(np.stack(seen)).permute(0, 3, 1, 2).to(device).float() / 255)
        # rare units must count as much as those that are always about
        error = (units.float() - torch.from_numpy(wanted).to(device)) / spread
        return F.smooth_l1_loss(error, torch.zeros_like(error)), {}

    metrics = train_expert(model, loss_of_batch, Budget(steps, minutes), 2e-3, weight_decay=0.05)
    out_dir.mkdir(parents=True, exist_ok=True)
    save_model(model.half(), out_dir)
    saved = load_action_units(out_dir)
    metrics |= evaluate_action_units(saved, expression_faces(expressions, SIDE, MARGIN, held_out=True))
    for name, clips in (("corpus", corpus), ("moods", moods)):
        if clips is not None:
            measured = evaluate_action_units(saved, corpus_faces(clips, cache, SIDE, MARGIN, ("val", "test")))
            metrics |= {f"{name}_{measure}": measured[measure] for measure in ("correlation", "error")}
    return metrics


def evaluate_action_units(model: ActionUnitReader, faces: Faces) -> dict[str, float]:
    """Pearson correlation with the truth per unit (those that vary) and its mean, and the mean absolute error."""
    crops = torch.from_numpy(inner(faces.pictures, MARGIN)).permute(0, 3, 1, 2)
    read = model.read(crops).numpy()
    units = {name: _pearson(read[:, i], faces.aus[:, i]) for i, name in enumerate(AUS) if faces.aus[:, i].std() > 0.01}
    return {
        "correlation": float(np.mean(list(units.values()))),
        "error": float(np.abs(read - faces.aus).mean()),
        **{f"correlation_{name}": value for name, value in units.items()},
    }


def _pearson(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    return 0.0 if first.std() < 1e-6 else float(np.corrcoef(first, second)[0, 1])
