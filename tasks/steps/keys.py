"""Keys of steps: hashes of what their results are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from storage import media
from storage.errors import DubwrightError
from storage.fetching import is_remote
from storage.ids import content_id
from tasks.config import Config
from tasks.probe import remote_content, source_key
from tasks.sources import Source
from tasks.steps.step import Step

_LABEL = ("emotion", "intensity", "caption", "gender")
"""What a corpus says that captions say. Its other words (speaker, licence, …) shape no result, they are columns."""


@dataclass(frozen=True)
class Inputs:
    """What steps begin with: digests of the picture and of the sound, of its label, and of the text that is spoken."""

    picture: str
    sound: str
    label: str
    text: str

    @classmethod
    def of(cls, source: Source, config: Config, fetch: bool = True) -> Inputs:
        """Those of a source; a file that cannot be taken apart counts as one piece.

        Args:
            fetch: bring a file from an object store here to know what it holds; else only what is known counts.
        """
        picture, sound = _tracks(source.uri, config, fetch)
        if source.audio is not None:
            sound = _tracks(source.audio, config, fetch)[1]
        label = content_id({name: getattr(source, name) for name in _LABEL})
        return cls(picture, sound, label, content_id(source.text))


def _tracks(path: str, config: Config, fetch: bool) -> tuple[str, str]:
    try:
        if not is_remote(path):
            return media.track_digests(path)
        known = remote_content(path, config, fetch)
        if known is not None:
            return known.picture, known.sound
    except DubwrightError:
        pass
    whole = source_key(path, config, fetch)
    return whole, whole


def step_keys(
    steps: Sequence[Step], inputs: Inputs, config: Config, expert_versions: Mapping[str, str]
) -> dict[str, str]:
    """Step name → key of its result for one source."""
    values = config.model_dump(mode="json")
    keys = {
        "the picture": inputs.picture, "the sound": inputs.sound, "the label": inputs.label, "the text": inputs.text,
    }  # fmt: skip
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
