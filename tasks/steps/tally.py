"""What was done at one step, counted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Tally:
    """Clips (films, for the step that finds the clips) that a step was done to now, that were there already, and that
    failed now; seconds and CPU seconds that it took."""

    done: int = 0
    kept: int = 0
    failed: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def did(self, work: dict[str, Any], seconds: float, cpu_seconds: float) -> None:
        """One more was done; `work` says how it went."""
        self.done += 1
        self.failed += work["status"] == "failed"
        self.seconds += seconds
        self.cpu_seconds += cpu_seconds

    def add(self, other: dict[str, Any]) -> None:
        """Another tally of the same step, as a dict."""
        for name, value in other.items():
            setattr(self, name, getattr(self, name) + value)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)
