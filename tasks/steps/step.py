"""What a step is, and the clip that it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from storage.step_parts import StepPart
from tasks.config import Config
from tasks.experts import Experts
from tasks.sources import Source

SHAPES: dict[str, tuple[int, ...]] = {
    "kps": (-1, 5, 2), "bbox": (-1, 4), "landmarks": (-1, 106, 2), "source_landmarks": (-1, 106, 2),
    "matrices": (-1, 2, 3), "unit_matrices": (-1, 2, 3), "pose": (-1, 3), "action_units": (-1, 20),
}  # fmt: skip
"""Shapes of columns that parts keep flat."""


@dataclass
class Clip:
    """One clip on its way: what earlier steps found of it, by column, read when asked for.

    known: its plain numbers and words, at hand; settled: what gates decided (`sync_correction`, `speaking`, …); all
    else lies in parts.
    """

    number: int
    source: Source
    parts: Mapping[str, StepPart]
    known: dict[str, Any] = field(default_factory=dict)
    settled: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        """A column: a numpy array in its shape, or a plain value; None for null or where no step filled it."""
        if name in self.known:
            return self.known[name]
        for part in self.parts.values():
            if name in part.columns and part.work(self.number) is not None:
                value = part.value(self.number, name)
                return value.reshape(SHAPES[name]) if name in SHAPES and value is not None else value
        return None

    def settle(self, values: Mapping[str, Any]) -> None:
        """A gate decided these columns."""
        self.settled |= values
        self.known |= values

    def forget(self) -> None:
        """Lets go of the pictures: a film has many clips."""
        self.__dict__.pop("pictures", None)

    @cached_property
    def pictures(self) -> list[NDArray[np.uint8]]:
        """The aligned crops, T of uint8 [S,S,3], decoded once."""
        return [decode(data) for data in self["crops"]]


@dataclass(frozen=True)
class Step:
    """A step of the recipe.

    Args:
        name: as the ledger calls it.
        fields: the columns that it fills.
        after: what it reads: "the picture", "the sound", "the label", "the text", or names of earlier steps.
        settings: the values of the configuration that shape what it finds, dotted; thresholds are not among them.
        experts: the experts whose weights do.
        each: clip, configuration, experts → columns; None for the two that read the film (`tracking`, `cropping`).
        rests_on: columns settled by gates that it reads: its part keeps them, and where they come out otherwise, the
            step is done again.
        version: raise it when the step finds something else from the same inputs.
    """

    name: str
    fields: tuple[str, ...]
    after: tuple[str, ...]
    settings: tuple[str, ...] = ()
    experts: tuple[str, ...] = ()
    each: Callable[[Clip, Config, Experts], dict[str, Any]] | None = None
    rests_on: tuple[str, ...] = ()
    version: int = 1


def decode(data: bytes) -> NDArray[np.uint8]:
    """A picture uint8 [S,S,3] of its JPEG."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("a crop's JPEG does not decode")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
