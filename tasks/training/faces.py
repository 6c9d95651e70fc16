"""Face frames with truth from either kind of studio data: a folder of stills, or a talking corpus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from storage import media
from tasks.studio.clip_files import MANIFEST, read_manifest, read_truth
from tasks.training.stills import Stills, read_stills

STRIDE = 5  # frames of a talking clip between two that are taken: neighbours are nearly the same picture


def round_figure(rng: np.random.Generator, box: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    """A soft ellipse round a face's box as a stand-in for the head's outline, which a talking corpus does not keep;
    [S,S].
    """
    half = (box[2:] - box[:2]) / 2 * rng.uniform(1.15, 1.5, 2)
    middle = (box[:2] + box[2:]) / 2 - [0, half[1] * rng.uniform(0.0, 0.2)]
    y, x = np.mgrid[:size, :size].astype(np.float32)
    radius = np.hypot((x - middle[0]) / half[0], (y - middle[1]) / half[1])
    return ((1 - radius) / rng.uniform(0.03, 0.15) * 255).clip(0, 255).astype(np.uint8)


def read_corpus_faces(folder: Path, stride: int = STRIDE) -> Stills:
    """Every ``stride``-th frame of each clip with a visible face; people outside the train split are held out.

    Raises FileNotFoundError without a manifest.
    """
    rows: dict[str, list[NDArray[np.generic]]] = {name: [] for name in Stills.__dataclass_fields__}
    rng = np.random.default_rng(0)
    for entry in read_manifest(folder):
        arrays = read_truth(folder / entry["truth"]).arrays
        taken = np.flatnonzero(arrays["visible"][::stride]) * stride
        wanted = set(taken.tolist())
        frames = [frame for index, _, frame in media.iter_frames(folder / entry["video"]) if index in wanted]
        taken = taken[: len(frames)]
        if not len(taken):
            continue
        rows["frames"].append(np.stack(frames))
        boxes = arrays["bbox"][taken]
        rows["alpha"].append(np.stack([round_figure(rng, box, frames[0].shape[0]) for box in boxes]))
        for name in ("landmarks", "kps", "bbox", "mouth_opening"):
            rows[name].append(arrays[name][taken].astype(np.float32))
        rows["identity"].append(np.full(len(taken), int(entry["identity_seed"]), np.int64))
        rows["held_out"].append(np.full(len(taken), entry["split"] != "train"))
    return Stills(**{name: np.concatenate(parts) for name, parts in rows.items()})


def read_training_faces(folders: Path | Sequence[Path]) -> list[Stills]:
    """The frames to train on of one folder or several, people held out left out. Raises FileNotFoundError."""
    several = [folders] if isinstance(folders, Path) else folders
    return [read_faces(folder).split()[0] for folder in several]


def read_faces(folder: Path) -> Stills:
    """Stills, or frames of a talking corpus, whichever ``folder`` holds. Raises FileNotFoundError."""
    folder = Path(folder)
    return read_corpus_faces(folder) if (folder / MANIFEST).is_file() else read_stills(folder)
