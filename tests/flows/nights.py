"""Footage, models and settings for tests of whole nights: real ones of the studio, as small as they come."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from models.faces import PACKS
from storage import media
from tests.conftest import LIBRARY

SHIPPED = PACKS / "studio" / "champion"
SMALL: dict[str, Any] = {
    "runtime.in_process": True, "train.workers": 0, "train.device": "cpu", "train.batch_size": 4,
    "train.warmup_steps": 1, "train.ema_decay": 0.8, "train.samples_every": 0, "train.max_loss_ratio": 0,
    "train.precision": "fp32", "evaluate.clips": 4, "evaluate.seconds": 0.64, "evaluate.steps": 1, "render.steps": 1,
}  # fmt: skip
"""Settings of a night that takes a minute or two: no Ray, few steps, clips as short as the sync expert allows."""
FRAMES = 24


def settings(**values: Any) -> tuple[str, ...]:
    """`--set` of `SMALL` and more: ``settings(train__learning_rate=1e-3)``."""
    more = {name.replace("__", "."): value for name, value in values.items()}
    return tuple(f"{name}={'null' if value is None else value}" for name, value in (SMALL | more).items())


def films(folder: Path, people: Iterable[int], split: str, sound_of: Callable[[int], int] = int) -> Path:
    """A manifest of the first second of the library's footage of these people (two films each).

    Args:
        sound_of: position of a film → position of the film whose sound it gets.
    """
    with (LIBRARY / "footage" / "manifest.csv").open() as source:
        rows = [row for row in csv.DictReader(source) if int(row["video"][6]) in set(people)]
    folder.mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(rows):
        picture, heard = (LIBRARY / "footage" / rows[at]["video"] for at in (number, sound_of(number) % len(rows)))
        frames = [frame for _, _, frame in media.iter_frames(picture, end_s=FRAMES / 25)][:FRAMES]
        media.write_video(folder / row["video"], frames, 25, media.read_audio(heard, 16000, 0.0, FRAMES / 25))
        row["split"] = split
    with (folder / "manifest.csv").open("w", newline="") as sink:
        writer = csv.DictWriter(sink, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "manifest.csv"


def damaged(
    out: Path, part: str, change: Callable[[torch.Tensor, torch.Generator], torch.Tensor], only: str = ""
) -> Path:
    """The shipped model with the weights of one part changed; those alone whose names begin with `only`."""
    shutil.copytree(SHIPPED, out)
    file, draw = out / part / "diffusion_pytorch_model.safetensors", torch.Generator().manual_seed(0)
    weights = {
        name: change(weight, draw).contiguous() if name.startswith(only) and weight.is_floating_point() else weight
        for name, weight in load_file(file).items()
    }
    save_file(weights, file, metadata={"format": "pt"})
    return out


def faint(out: Path) -> Path:
    """The shipped model with too weak a last layer: dull, stiff, with other faces; a little training mends all of it.

    So weak that a challenger gains in everything by far: four clips of less than a second tell no small difference.
    """
    return damaged(out, "unet", lambda weight, draw: 0.3 * weight, only="conv_out")


def deaf(out: Path) -> Path:
    """The shipped model with the numbers that take in the sound in another order: it draws well, and hears nothing."""

    def shuffled(weight: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
        return weight.flatten()[torch.randperm(weight.numel(), generator=draw)].view_as(weight)

    return damaged(out, "audio_projection", shuffled)


def two_faced(row: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A clip whose second half shows another person: a model that learns from it cannot keep to one."""
    half, end = row["num_frames"] // 2, min(row["num_frames"], other["num_frames"])
    mixed = {name: [*row[name][:half], *other[name][half:end], *row[name][end:]] for name in ("crops", "masks")}
    points = [np.asarray(one["landmarks"], np.float32).reshape(one["num_frames"], -1) for one in (row, other)]
    landmarks = np.concatenate([points[0][:half], points[1][half:end], points[0][end:]]).reshape(-1)
    return {**row, **mixed, "landmarks": landmarks}
