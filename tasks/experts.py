"""The pretrained models that look at footage, loaded once per worker: faces, lips against sound, words for emotions."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from models.faces import FaceAnalyzer, MissingPack, UnusablePack
from models.sync import PACKS, MissingSyncExpert, SyncExpert, load_sync_expert
from models.text import MissingText, TextEncoder, load_text
from storage.errors import ConfigError
from storage.ids import content_id, file_sha256
from tasks.config import Config

log = logging.getLogger(__name__)

NONE = "none"
"""A source of this name leaves the expert out: what it would measure stays null."""


@dataclass
class Experts:
    """faces always; sync and text may be None, then what they measure is null. version: hash of all their weights."""

    faces: FaceAnalyzer
    sync: SyncExpert | None
    text: TextEncoder | None
    version: str


def load_experts(config: Config, *, text: bool = True) -> Experts:
    """Load what the configuration names, on the CPU, with `config.runtime.threads` threads.

    Raises:
        ConfigError: the face pack is missing or unusable.
    """
    torch.set_num_threads(config.runtime.threads)
    return Experts(
        faces=load_faces(config),
        sync=_load_sync(config.audio.sync),
        text=_load_text(config.audio.text) if text else None,
        version=experts_version(config),
    )


def load_faces(config: Config) -> FaceAnalyzer:
    """The face pack of the configuration.

    Raises:
        ConfigError: it is missing or unusable.
    """
    size = config.faces.det_size
    root = None if "://" in config.root else Path(config.root)
    try:
        return FaceAnalyzer(
            config.faces.pack,
            det_size=None if size is None else (size, size),
            det_thresh=config.faces.det_thresh,
            root=root,
            threads=config.runtime.threads,
        )
    except (MissingPack, UnusablePack) as error:
        raise ConfigError(str(error.args[0]), error.remedy) from error


def experts_version(config: Config) -> str:
    """Hash over the weights that measure footage; part of every id, so that a new pack measures anew."""
    from models.faces import find_pack

    root = None if "://" in config.root else Path(config.root)
    try:
        places = [find_pack(config.faces.pack, root)]
    except MissingPack as error:
        raise ConfigError(str(error.args[0]), error.remedy) from error
    places += [_folder(config.audio.sync, "sync"), _folder(config.audio.text, "text")]
    digests = []
    for place in places:
        files = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
        digests.append([[file.name, file_sha256(file)] for file in files if file.suffix in WEIGHTS])
    return content_id(digests)


WEIGHTS = {".onnx", ".safetensors", ".json"}


def _folder(source: str, kind: str) -> Path:
    return Path(source) if Path(source).is_dir() else PACKS / source / kind


def _load_sync(source: str) -> SyncExpert | None:
    if source == NONE:
        return None
    try:
        return load_sync_expert(source)
    except MissingSyncExpert as error:
        log.warning("sync is not measured: %s; %s", error.args[0], error.remedy)
        return None


def _load_text(source: str) -> TextEncoder | None:
    if source == NONE:
        return None
    try:
        return load_text(source)
    except MissingText as error:
        log.warning("captions are not embedded: %s; %s", error.args[0], error.remedy)
        return None
