"""The options that every command and every flow takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, ClassVar

import yaml
from pydantic import ConfigDict, Field

from storage.errors import UsageError
from storage.layout import Root
from storage.masking import masked
from tasks.config import Config, load_config


@dataclass(frozen=True)
class Options:
    """The options that every command takes; None where one was not given."""

    # A server that runs deployments shows these descriptions and refuses names that are not here.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    root: Annotated[str | None, Field(description="Where data lives: a path or an fsspec URI.")] = None
    profile: Annotated[str | None, Field(description="studio, sd15, or another file of infra/profiles.")] = None
    json: Annotated[bool, Field(description="Of the command alone: one JSON object on standard output.")] = False
    face_pack: Annotated[str | None, Field(description="insightface pack: NAME, DIR or FILE.onnx.")] = None
    settings: Annotated[
        tuple[str, ...], Field(description="Other values of params.yaml, each NAME=VALUE: render.steps=4.")
    ] = ()
    ray: Annotated[str | None, Field(description="Ray cluster to join: HOST:PORT, auto or local.")] = None

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
            if masked(setting) != setting:  # it would stand in the parameters of the run
                raise UsageError(f"--set {setting}: holds a secret", "give secrets by the environment")
            overrides[name] = yaml.safe_load(value)
        if self.face_pack:
            overrides["faces.pack"] = self.face_pack
        if self.ray:
            overrides["runtime.ray"] = self.ray
        overrides.update({name: value for name, value in more.items() if value is not None})
        return load_config(self.profile or "studio", self.root or "./data", overrides)

    def with_values(self, values: Mapping[str, Any]) -> Options:
        """The same with dotted names set to values, after what was set before; those that are None are left out."""
        more = tuple(f"{name}={json.dumps(value)}" for name, value in values.items() if value is not None)
        return replace(self, settings=(*self.settings, *more))

    def place(self) -> Root:
        """The data root."""
        return Root(self.root or "./data")
