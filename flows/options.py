"""The options that every command and every flow takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import yaml

from storage.errors import UsageError
from storage.layout import Root
from tasks.config import Config, load_config


@dataclass(frozen=True)
class Options:
    """The options that every command takes; None where one was not given."""

    root: str | None = None
    profile: str | None = None
    json: bool = False
    face_pack: str | None = None
    settings: tuple[str, ...] = ()

    def over(self, below: Options) -> Options:
        """These options, and those of `below` where these say nothing."""
        given = {entry.name: getattr(self, entry.name) for entry in fields(self) if getattr(self, entry.name)}
        return replace(below, **given)

    def config(self, **more: Any) -> Config:
        """The configuration in force; `more` are dotted names with their values, ``**{"render.steps": 4}``.

        Raises:
            ConfigError: an unknown profile, name or a value out of range.
            UsageError: a setting that is not NAME=VALUE.
        """
        overrides: dict[str, Any] = {}
        for setting in self.settings:
            name, equals, value = setting.partition("=")
            if not equals or not name:
                raise UsageError(f"--set {setting}: not NAME=VALUE", "for example --set render.steps=4")
            overrides[name] = yaml.safe_load(value)
        if self.face_pack:
            overrides["faces.pack"] = self.face_pack
        overrides.update({name: value for name, value in more.items() if value is not None})
        return load_config(self.profile or "studio", self.root or "./data", overrides)

    def with_values(self, values: Mapping[str, Any]) -> Options:
        """The same with dotted names set to values, after what was set before; those that are None are left out."""
        more = tuple(f"{name}={json.dumps(value)}" for name, value in values.items() if value is not None)
        return replace(self, settings=(*self.settings, *more))

    def place(self) -> Root:
        """The data root."""
        return Root(self.root or "./data")
