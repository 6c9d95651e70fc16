"""The one configuration tree: every number that shapes a result, with its unit, typed and checked.

Filled from `params.yaml` (the studio's values, which DVC also tracks) and laid over with `infra/profiles/NAME.yaml`,
then with the caller's overrides. Printed at the start of a run; `Config.hash()` stands in every row.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from storage.errors import ConfigError
from tasks.config_nightly import Nightly, Promotion
from tasks.config_rights import Consent, Provenance
from tasks.config_runtime import Runtime
from tasks.config_sections import (
    Audio,
    Captions,
    Evaluate,
    Faces,
    Gate,
    Model,
    People,
    Preprocess,
    Render,
    Section,
    Shots,
    Tracks,
    Train,
)
from tasks.config_serving import Serving


def settings_folder(code: Path, prefix: Path) -> Path:
    """Where params.yaml and infra/profiles lie: beside the code in a checkout, else where a wheel puts its data."""
    return code if (code / "params.yaml").is_file() else prefix / "share" / "dubwright"


PROJECT = settings_folder(Path(__file__).resolve().parents[1], Path(sys.prefix))
PARAMS = PROJECT / "params.yaml"
PROFILES = PROJECT / "infra" / "profiles"


_SHAPE_NOTHING = {"root", "runtime", "serving", "provenance", "consent", "promotion", "nightly"}


class Config(Section):
    profile: str = "studio"
    root: str = Field(default="./data", description="where data lives: a path or an fsspec URI")
    faces: Faces = Faces()
    shots: Shots = Shots()
    tracks: Tracks = Tracks()
    preprocess: Preprocess = Preprocess()
    audio: Audio = Audio()
    captions: Captions = Captions()
    people: People = People()
    model: Model = Model()
    render: Render = Render()
    provenance: Provenance = Provenance()
    consent: Consent = Consent()
    gate: Gate = Gate()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    promotion: Promotion = Promotion()
    nightly: Nightly = Nightly()
    runtime: Runtime = Runtime()
    serving: Serving = Serving()

    def hash(self, *parts: str) -> str:
        """20 hex digits over every value that shapes a result: all but those in `_SHAPE_NOTHING`.

        With `parts`, over those sections only, e.g. `hash("faces", "preprocess")`: what a cached result was made from.
        """
        values = self.model_dump(mode="json", exclude=_SHAPE_NOTHING)
        if parts:
            values = {name: values[name] for name in parts}
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()

    def with_(self, overrides: Mapping[str, Any]) -> Config:
        """A changed copy. `overrides` is nested (`{"render": {"steps": 4}}`) or dotted (`{"render.steps": 4}`)."""
        return _validate(_merge(self.model_dump(), _nest(overrides)))


def load_config(
    profile: str = "studio", root: str | Path = "./data", overrides: Mapping[str, Any] | None = None
) -> Config:
    """params.yaml, then the profile, then `overrides` (nested or dotted).

    Raises:
        ConfigError: an unknown profile, an unknown name, or a value out of range.
    """
    path = PROFILES / f"{profile}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in PROFILES.glob("*.yaml")))
        raise ConfigError(f"there is no profile named {profile!r}", f"choose one of: {known}")
    values: dict[str, Any] = {}
    for source in (PARAMS, path):
        values = _merge(values, _read(source))
    values = _merge(values, {"profile": profile, "root": str(root)})
    return _validate(_merge(values, _nest(overrides or {})))


def config_from_json(text: str) -> Config:
    """The configuration of `Config.model_dump_json`, of this or of an older run.

    Raises:
        ConfigError: it has settings that there are no more.
    """
    return _validate(json.loads(text))


def _read(path: Path) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path.name} cannot be read: {error}", "restore the file or correct its YAML") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path.name} is not a mapping", "write it as `section: {name: value}`")
    return loaded


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        head, _, rest = key.partition(".")
        nested = _merge(nested, {head: _nest({rest: value}) if rest else value})
    return nested


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(below, value)
        else:
            merged[key] = value
    return merged


def _validate(values: Mapping[str, Any]) -> Config:
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{where}: {first['msg']}", "see params.yaml for the names and their units") from error
