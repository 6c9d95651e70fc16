"""Which exams there are, what one finds, and how they are run."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from storage.errors import UsageError
from tasks.config import Config
from tasks.experts import Experts

FIRST_SEED = 900_000
"""Studio identities from here on were never trained on: the training corpora lie below 60,000."""

EXAMS = (
    "cuts", "tracks", "crops", "masks", "quality", "sync", "speaking", "turns", "sound", "captions", "people",
    "duplicates",
)  # fmt: skip
"""Modules of this package. Each has ``exam(config, experts, quick, seed) -> list[Finding]``."""


@dataclass(frozen=True)
class Finding:
    """One measure of one step: what was found over how many cases, and what is asked for (None: only measured)."""

    measure: str
    value: float
    asked: float | None = None
    unit: str = ""
    higher_is_better: bool = True
    cases: int = 0
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the value reaches what is asked for."""
        if self.asked is None:
            return True
        return self.value >= self.asked if self.higher_is_better else self.value <= self.asked

    def as_dict(self) -> dict[str, Any]:
        """Plain values, with the verdict."""
        return asdict(self) | {"passed": self.passed}


def run_exams(
    names: Iterable[str], config: Config, experts: Experts, quick: bool = False, seed: int = 0
) -> Iterator[tuple[str, list[Finding]]]:
    """(name, findings) of each exam as it ends; all of them where no names are given.

    Args:
        quick: few cases, for a look and for tests; the figures of the README are not quick ones.
        seed: of the people and scenes; those of two seeds differ.

    Raises:
        UsageError: there is no exam of that name.
    """
    chosen = list(names) or list(EXAMS)
    unknown = [name for name in chosen if name not in EXAMS]
    if unknown:
        raise UsageError(f"there is no exam {', '.join(unknown)}", f"known: {', '.join(EXAMS)}")
    for name in chosen:
        module = importlib.import_module(f"tasks.exams.{name}")
        yield name, module.exam(config, experts, quick, seed)
