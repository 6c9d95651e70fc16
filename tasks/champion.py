"""Which model a job uses: the one it names, else the champion; on a fresh root the shipped one becomes the champion."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.faces import PACKS
from storage.errors import ConfigError
from storage.ids import content_id
from storage.layout import Root
from storage.registry import Registry, folder_sha256
from tasks.config import Config

SHIPPED = {"studio": PACKS / "studio" / "champion"}
"""Model line → the folder that comes with the project."""
LATEST = "latest"
METRICS_FILE = "metrics.json"


@dataclass(frozen=True)
class Model:
    """A model to work with: its folder, its id, the dataset version it was trained on (empty: not in this root)."""

    path: Path
    model_id: str
    label: str
    dataset_id: str | None = None


def champion_or_named(root: Root, config: Config, model: str | None = None) -> Model:
    """The model of that name, or the champion of `config.model.name`.

    Args:
        model: None or "" (the champion), "latest" (the newest version), a folder with a pipeline, or anything that
            `storage.registry.Registry.show` knows: an id, NAME, NAME@VERSION.

    Raises:
        NotFound: there is no such model.
        ConfigError: no model was named, none was promoted and none is shipped.
    """
    registry = Registry(root)
    line = config.model.name
    if model and Path(model).is_dir():
        return Model(Path(model).absolute(), content_id("model", folder_sha256(model)[0]), Path(model).name)
    shipped = ensure_champion(registry, line)
    if model == LATEST:
        versions = registry.models(line)
        if versions:
            return _model(registry, versions[-1])
    elif model:
        return _model(registry, registry.show(model))
    elif shipped is not None:
        return _model(registry, shipped)
    raise ConfigError(
        f"there is no model of the line {line!r} in {root}",
        "train one (dubwright train), import one (dubwright models import), or use --profile studio",
    )


def champion(root: Root, config: Config) -> Model | None:
    """The champion of `config.model.name`, None where there is none."""
    registry = Registry(root)
    row = ensure_champion(registry, config.model.name)
    return None if row is None else _model(registry, row)


def ensure_champion(registry: Registry, line: str) -> dict[str, Any] | None:
    """The champion's row; where none was ever promoted, the shipped model is registered and promoted first."""
    standing = registry.champion(line)
    place = SHIPPED.get(line)
    if standing is not None or place is None or not place.is_dir():
        return standing
    notes = place / METRICS_FILE
    metrics = json.loads(notes.read_text()) if notes.is_file() else {}
    model_id = registry.register(place, line, metrics=metrics, stage="shipped", licence="Apache-2.0")
    registry.promote(model_id, "shipped with the project")
    return registry.champion(line)


def _model(registry: Registry, row: dict[str, Any]) -> Model:
    return Model(
        registry.path(row["model_id"]), row["model_id"], f"{row['name']}@{row['version']}", row["dataset_id"] or None
    )
