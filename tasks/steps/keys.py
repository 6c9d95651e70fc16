"""Keys of steps: hashes of what their results are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from storage.ids import content_id
from tasks.config import Config
from tasks.probe import source_key
from tasks.sources import Source
from tasks.steps.step import Step

_SAID = ("emotion", "intensity", "text", "caption")
"""What a corpus says that shapes a result; its other words (speaker, licence, …) are columns only."""


@dataclass(frozen=True)
class Inputs:
    """What steps begin with: digests of the picture, of the sound, and of what is said of both."""

    picture: str
    sound: str
    said: str

    @classmethod
    def of(cls, source: Source) -> Inputs:
        """Those of a source; a file that cannot be taken apart counts as one piece."""
        picture = source_key(source.uri)
        sound = picture if source.audio is None else source_key(source.audio)
        return cls(picture, sound, content_id({name: getattr(source, name) for name in _SAID}))


def step_keys(
    steps: Sequence[Step], inputs: Inputs, config: Config, expert_versions: Mapping[str, str]
) -> dict[str, str]:
    """Step name → key of its result for one source."""
    values = config.model_dump(mode="json")
    keys = {"picture": inputs.picture, "sound": inputs.sound, "said": inputs.said}
    for step in steps:
        keys[step.name] = content_id(
            "step", step.name, step.version, {name: _setting(values, name) for name in step.settings},
            {name: expert_versions[name] for name in step.experts}, [keys[name] for name in step.after if name in keys],
        )  # fmt: skip
    return {step.name: keys[step.name] for step in steps}


def _setting(values: Mapping[str, Any], name: str) -> Any:
    for part in name.split("."):
        values = values[part]
    return values
