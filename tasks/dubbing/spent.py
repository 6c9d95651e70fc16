"""What the pieces of work on a dub took: a line of JSON for each in its folder, summed up when the file is finished."""

from __future__ import annotations

import contextlib
import json
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from tasks.dubbing.place import Place

FILE = "spent.jsonl"
LOOK, RENDER, FINISH = "look", "render", "finish"


@dataclass(frozen=True)
class Spent:
    """seconds by the clock, cpu_seconds of the processor, on so many frames."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    frames: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds, self.frames + other.frames
        )  # fmt: skip


class Stopwatch:
    """Runs from when it is made.

    Args:
        among: pieces of work that this process does at once: each is given its share of the time.
    """

    def __init__(self, among: int = 1) -> None:
        self._among = among
        self._since = (time.perf_counter(), time.process_time())

    def lap(self) -> Spent:
        """Since it was made, or since the last lap."""
        now = (time.perf_counter(), time.process_time())
        seconds, cpu_seconds = (end - start for end, start in zip(now, self._since, strict=True))
        self._since = now
        return Spent(seconds / self._among, cpu_seconds / self._among)


def note(place: Place, kind: str, frames: int, spent: Spent) -> None:
    """Writes down what a piece of work took. Times are not worth a failure: what cannot be written is left out, and a
    folder that somebody has cleared meanwhile does not come back."""
    line = {"kind": kind, "seconds": round(spent.seconds, 4), "cpu_seconds": round(spent.cpu_seconds, 4)}
    with contextlib.suppress(OSError), (place.folder / FILE).open("ab", buffering=0) as stream:
        stream.write(json.dumps(line | {"frames": frames}).encode() + b"\n")


def spent_on(place: Place) -> dict[str, Spent]:
    """Kind → what all noted pieces of it took, by whatever worker; a line that a crash tore off is left out."""
    found: dict[str, Spent] = defaultdict(Spent)
    with contextlib.suppress(OSError):
        for line in (place.folder / FILE).read_bytes().splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                entry: dict[str, Any] = json.loads(line)
                found[str(entry["kind"])] += Spent(
                    float(entry["seconds"]), float(entry["cpu_seconds"]), int(entry["frames"])
                )  # fmt: skip
    return dict(found)


def time_columns(place: Place, finishing: Spent) -> dict[str, float]:
    """The columns of a RENDERS row that say what it took; seconds is their sum.

    Args:
        finishing: what the end of it took, which is not noted.
    """
    spent = spent_on(place)
    kinds = {LOOK: spent.get(LOOK, Spent()), RENDER: spent.get(RENDER, Spent()), FINISH: finishing}
    return {
        **{f"{kind}_seconds": one.seconds for kind, one in kinds.items()},
        "seconds": sum(one.seconds for one in kinds.values()),
        "cpu_seconds": sum(one.cpu_seconds for one in kinds.values()),
    }
