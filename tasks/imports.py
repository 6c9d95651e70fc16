"""Public checkpoints into the registry: read as data, checked, built into a pipeline, stored as a model version.

What a file was stands in `ORIGIN` beside the model: its sha256, and whether that is a published file's. A file that is
refused leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.checkpoints import (
    Checkpoint,
    MissingCheckpoint,
    UnusableCheckpoint,
    WrongCheckpoint,
    catalogue,
    find_checkpoint,
)
from models.imported import build_imported
from models.latentsync import LatentSyncCheckpoint, load_latentsync
from models.musetalk import MuseTalkCheckpoint, load_musetalk
from models.saving import save_model
from models.sd15 import WEIGHTS, load_sd15_vae
from storage.atomic import directory_written_aside
from storage.errors import ConfigError, InputFailed, UsageError
from storage.ids import file_sha256
from storage.layout import Root
from storage.registry import Registry
from tasks.config import Config

ORIGIN = "origin.json"
VAE = "sd_vae_ft_mse"
"""The autoencoder that all of them were trained with, as models/checkpoints.yaml calls it."""
UNKNOWN = "unknown file: its sha256 is none of the published ones"

Loaded = LatentSyncCheckpoint | MuseTalkCheckpoint
LOADERS: Mapping[str, Callable[[Path], Loaded]] = {"latentsync": load_latentsync, "musetalk": load_musetalk}
PUBLISHED = {"latentsync": ("latentsync_15", "latentsync_16"), "musetalk": ("musetalk_15",)}
"""Entries of models/checkpoints.yaml by kind."""
SIZES = {"latentsync_15": 256, "latentsync_16": 512, "musetalk_15": 256}
"""Side in pixels of the crops that each was trained on; the weights do not tell."""
LEAST_SIZE = 256


@dataclass(frozen=True)
class Origin:
    """Where a model comes from. entry: of models/checkpoints.yaml, None for a file that is none of the published."""

    kind: str
    file: Path
    sha256: str
    entry: Checkpoint | None

    @property
    def licence(self) -> str:
        """The terms of its weights, in words."""
        return self.entry.licence if self.entry is not None else f"not known ({UNKNOWN})"

    def as_json(self) -> dict[str, Any]:
        """For `ORIGIN`: no path of this machine."""
        known = self.entry
        return {
            "kind": self.kind, "file": self.file.name, "bytes": self.file.stat().st_size, "sha256": self.sha256,
            "published as": None if known is None else known.key, "origin": None if known is None else known.origin,
            "revision": None if known is None else known.revision, "licence": self.licence,
            "note": UNKNOWN if known is None else "the published file",
        }  # fmt: skip


def import_checkpoint(
    kind: str,
    file: str | os.PathLike[str],
    config: Config,
    *,
    vae: str | os.PathLike[str] | None = None,
    name: str | None = None,
    licence: str = "",
    size: int | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> str:
    """Register a public checkpoint as a model version and return its model_id.

    Args:
        kind: of `LOADERS`.
        file: the U-Net as published, or in that layout.
        vae: folder of its autoencoder in diffusers' layout; None: `VAE` among the checkpoints under the root.
        name: the model line; None: that of the profile, or the kind's own in the studio profile, whose line it is not.
        licence: of the weights; empty: that of the published file.
        size: side of its crops in pixels; None: that of the published file, else the configuration's, at least 256.
        tell: told what is being done: gigabytes take their time.

    Raises:
        UsageError: an unknown kind, or no such file.
        ConfigError: the autoencoder is missing or does not fit, or the size does not.
        InputFailed: the file is cut off, holds code, or other weights than the kind's.
    """
    path = Path(file)
    if kind not in LOADERS:
        raise UsageError(f"there is no checkpoint of the kind {kind!r}", f"there are {', '.join(LOADERS)}")
    if not path.is_file():
        raise UsageError(f"{path}: no such file", _where(kind, Root(config.root).local))
    autoencoder = _autoencoder(vae, config)
    tell(f"reading {path.name}, {path.stat().st_size / 1e6:.0f} MB")
    checkpoint = _read(kind, path)
    origin = Origin(kind, path, checkpoint.sha256, _published(kind, checkpoint.sha256))
    side = size or (SIZES[origin.entry.key] if origin.entry else max(LEAST_SIZE, config.model.size))
    try:
        pipeline = build_imported(checkpoint, load_sd15_vae(autoencoder), crop_size=side)
    except ValueError as error:
        raise ConfigError(f"{path} with this autoencoder: {error}", "see --size and --vae") from error
    root = Root(config.root).create()
    line = name or (kind if config.profile == "studio" else config.model.name)
    note = {**origin.as_json(), "licence": licence or origin.licence, "size": side, **_told(checkpoint)}
    note["vae"] = _autoencoder_told(autoencoder)
    tell(f"storing it as a version of {line}")
    folder = root.cache / f"import-{kind}-{checkpoint.sha256[:16]}-{side}"
    try:
        with directory_written_aside(folder) as partial:
            save_model(pipeline, partial)
            (partial / ORIGIN).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
        return Registry(root).register(
            folder, line, stage="imported", licence=note["licence"], config_hash=config.hash("model")
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_origin(folder: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What `ORIGIN` of a model says; None where it was not imported from a public checkpoint."""
    place = Path(folder) / ORIGIN
    return dict(json.loads(place.read_text(encoding="utf-8"))) if place.is_file() else None


def _read(kind: str, path: Path) -> Loaded:
    try:
        return LOADERS[kind](path)
    except UnusableCheckpoint as error:
        cause = str(error.args[0]).removeprefix(str(path)).lstrip(": ")
        raise InputFailed(str(path), cause, error.remedy, stage="models", error_type=type(error).__name__) from error


def _autoencoder(folder: str | os.PathLike[str] | None, config: Config) -> Path:
    """The folder of the autoencoder, once it is known to load."""
    try:
        place = Path(folder) if folder is not None else find_checkpoint(VAE, Root(config.root).local)
        load_sd15_vae(place)
    except (MissingCheckpoint, UnusableCheckpoint, WrongCheckpoint) as error:
        remedy = error.remedy if folder is None else f"--vae takes a folder with config.json and {WEIGHTS}"
        raise ConfigError(str(error.args[0]), remedy) from error
    return place


def _autoencoder_told(place: Path) -> dict[str, Any]:
    digest = file_sha256(place / WEIGHTS)
    known = any(digest == one.sha256 for one in catalogue()[VAE].files)
    return {"sha256": digest, "published as": VAE if known else None}


def _published(kind: str, sha256: str) -> Checkpoint | None:
    entries = (catalogue()[key] for key in PUBLISHED[kind])
    return next((entry for entry in entries if any(sha256 == one.sha256 for one in entry.files)), None)


def _told(checkpoint: Loaded) -> dict[str, Any]:
    if isinstance(checkpoint, MuseTalkCheckpoint):
        return {}
    return {"temporal layers": checkpoint.motion is not None, "global_step": checkpoint.global_step}


def _where(kind: str, root: Path) -> str:
    return "; or ".join(catalogue()[key].remedy(root) for key in PUBLISHED[kind])
