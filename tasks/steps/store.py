"""Where the results of steps lie: under the root's cache, by step and key.

    cache/steps/STEP/KE/KEY.parquet       what a step came to for the clips of a source
    cache/steps/verdicts/KE/KEY.parquet   what the source came to in the end
    cache/steps/journal/RUN.jsonl         what a run has under way, for workers that come after a crash

Folders by the first two digits of a key, so that none has a hundred thousand files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from storage.layout import Root
from storage.step_parts import StepPart, read_part
from tasks.config import Config

VERDICTS = "verdicts"


@dataclass(frozen=True)
class Store:
    """The folder of a root that holds them."""

    folder: Path

    @classmethod
    def of(cls, config: Config) -> Store:
        """That of the configuration's root."""
        return cls(Root(config.root).cache / "steps")

    def journal(self, run_id: str) -> Path:
        """The ledger of what a run has begun."""
        return self.folder / "journal" / f"{run_id}.jsonl"

    def path(self, step: str, key: str) -> Path:
        """File of a part."""
        return self.folder / step / key[:2] / f"{key}.parquet"

    def part(self, step: str, key: str) -> StepPart | None:
        """A part; None where there is none that can be read."""
        return read_part(self.path(step, key))
