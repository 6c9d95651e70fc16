"""Train the studio face detector on composites of studio heads and write it into a face pack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.facepack import PACK_FILES, FaceDetector, export_detector
from models.facepack.detector import INPUT_MEAN, INPUT_STD, Detections, anchor_centres
from models.facepack.detector_loss import Faces, detector_loss
from tasks.training.composites import scene
from tasks.training.expert_loop import Budget, placed, train_expert
from tasks.training.faces import read_training_faces
from tasks.training.stills import Stills

SIZES = (192, 224, 288)  # input sides, drawn per batch: the same net must serve several frame shapes
Report = Callable[[int, float, dict[str, float]], None]


def detector_batch(
    rng: np.random.Generator, sources: Sequence[Stills], batch: int, size: int, device: str
) -> tuple[Tensor, list[Faces]]:
    """Composites [B,3,size,size] as insightface would feed them, and the faces in each; sources take turns."""
    images, faces = [], []
    for turn in range(batch):
        image, boxes, points = scene(rng, sources[turn % len(sources)], size)
        images.append(image)
        faces.append(Faces(torch.from_numpy(boxes).to(device), torch.from_numpy(points).to(device)))
    pixels = torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2)
    return (pixels.float() - INPUT_MEAN) / INPUT_STD, faces


def train_detector(
    corpus: Path | Sequence[Path],
    out: Path,
    steps: int | None = None,
    minutes: float | None = None,
    device: str = "cpu",
    seed: int = 0,
    batch: int = 16,
    report: Report | None = None,
) -> dict[str, float]:
    """Train on stills or a talking corpus, or several, without the people held out; write OUT/det_studio.onnx.

    Returns the running means of the losses. Raises FileNotFoundError without stills, ValueError without a budget.
    """
    budget = Budget(steps, minutes)
    sources = read_training_faces(corpus)
    rng = np.random.default_rng([seed, 1])
    torch.manual_seed(seed)
    net = placed(FaceDetector(), device)
    places = {size: tuple(part.to(device) for part in anchor_centres(size, size)) for size in SIZES}

    def loss_of_batch(progress: float) -> tuple[Tensor, dict[str, float]]:
        size = int(rng.choice(SIZES))
        images, faces = detector_batch(rng, sources, batch, size, device)
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            raw = net(images.contiguous(memory_format=torch.channels_last))
        predicted = Detections(raw.logits.float(), raw.distances.float(), raw.points.float())
        centres, strides = places[size]
        return detector_loss(predicted, faces, centres, strides)

    metrics = train_expert(net, loss_of_batch, budget, report=report)
    export_detector(net.cpu(), out / PACK_FILES["detection"])
    return metrics
