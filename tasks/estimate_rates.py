"""What preprocessing costs for a second of film, measured: from the ledger of a root, else as shipped."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from storage.atomic import write_json
from storage.catalog import Catalog
from storage.errors import NotFound
from storage.layout import Root

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Rate:
    """A step's cost: seconds and CPU seconds for each second of film, and how far off the estimate may be.

    items: clips (films for a step done to whole films) for each second of film. spread: standard error of the rate as a
    share of it. films: how many it was measured on.
    """

    seconds: float
    cpu_seconds: float
    items: float
    spread: float
    films: int
    whole_film: bool = False


@dataclass(frozen=True)
class Rates:
    """All that an estimate is made from. where: a sentence about where it was measured.

    steps: step → rate, in order. version_bytes, step_bytes: kept for each second of film by a version and by the
    results of steps. start_s: seconds that a run takes beside its steps. pixels: of the films measured, mean.
    """

    where: str
    steps: Mapping[str, Rate]
    version_bytes: float
    step_bytes: float
    start_s: float
    pixels: float
    measured_here: bool
    films_measured: int = 0


SHIPPED = Path(__file__).with_name("rates.json")


def shipped_rates(path: Path = SHIPPED) -> Rates:
    """Rates for a root that has none of its own yet; they say where they were measured."""
    values = json.loads(path.read_text(encoding="utf-8"))
    steps = {name: Rate(**entry) for name, entry in values.pop("steps").items()}
    return Rates(**values, steps=steps, measured_here=False)


def ship(root: Root, where: str, path: Path = SHIPPED) -> None:
    """Make the rates of a root's ledger those that are shipped: by processor time, as on a machine that is not busy.

    Args:
        where: on what machine, what films and which profile they were measured.

    Raises:
        NotFound: nothing was measured in this root yet.
    """
    rates = measured_rates(root)
    if rates is None:
        raise NotFound(f"{root}: nothing was measured here yet", "preprocess some films first")
    steps = {name: asdict(replace(rate, seconds=rate.cpu_seconds)) for name, rate in rates.steps.items()}
    values = asdict(replace(rates, where=f"shipped with the program: {where}", steps={})) | {"steps": steps}
    values.pop("measured_here")
    write_json(path, json.loads(json.dumps(values), parse_float=lambda text: float(f"{float(text):.3g}")))


MANY_FILMS = 2000
"""Films of the ledger that are looked at: more tell nothing new."""


def measured_rates(root: Root) -> Rates | None:
    """The rates of a root's ledger; None where no film went through it yet."""
    catalog = Catalog(root)
    sources = [row for row in _rows(catalog, "sources", _SOURCE) if row["status"] != "failed" and row["duration_s"]]
    if not sources:
        return None
    films = {row["source_id"]: row for row in sorted(sources, key=lambda row: str(row["source_id"]))[:MANY_FILMS]}
    work: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(lambda: [0.0, 0.0, 0.0]))
    whole: dict[str, bool] = defaultdict(lambda: True)
    worked: dict[str, float] = defaultdict(float)
    for row in _rows(catalog, "steps", _STEP):
        if row["source_id"] in films and row["seconds"] is not None:
            sums = work[row["step"]][row["source_id"]]
            sums[0] += row["seconds"]
            sums[1] += row["cpu_seconds"] if row["cpu_seconds"] is not None else row["seconds"]
            sums[2] += row["clip_id"] is not None
            whole[row["step"]] &= row["clip_id"] is None
            worked[str(row["run_id"])] += row["seconds"]
    if not work:
        return None
    seconds = {source_id: float(row["duration_s"]) for source_id, row in films.items()}
    steps = {step: _rate(sums, seconds, whole[step]) for step, sums in work.items()}
    total = sum(seconds.values())
    pixels = [(row["width"] or 0) * (row["height"] or 0) for row in films.values()]
    return Rates(
        where=f"this root's ledger: {len(films):,} films of {total / 60:,.1f} min",
        steps=steps,
        version_bytes=_version_bytes(root, films.values()),
        step_bytes=_tree_bytes(root.cache / "steps") / max(1e-9, sum(float(r["duration_s"]) for r in sources)),
        start_s=_start_s(catalog, worked),
        pixels=sum(pixels) / max(1, len(pixels)),
        measured_here=True,
        films_measured=len(films),
    )


_SOURCE = ("source_id", "dataset", "status", "duration_s", "width", "height")
_STEP = ("step", "source_id", "clip_id", "run_id", "seconds", "cpu_seconds")


def _rate(sums: Mapping[str, list[float]], films: Mapping[str, float], whole_film: bool) -> Rate:
    """A ratio estimate over films, its standard error by leaving each film out (jackknife; Efron 1982).

    Films that never came to the step count with nothing: that some are left out on the way is part of the rate.
    """
    total = sum(films.values())
    spent, cpu, items = (sum(entry[at] for entry in sums.values()) for at in range(3))
    rate = spent / total
    count = len(films)
    spread = 1.0
    if count > 1 and rate > 0:
        without = [(spent - sums.get(film, [0.0])[0]) / max(1e-9, total - seconds) for film, seconds in films.items()]
        mean = sum(without) / count
        spread = math.sqrt((count - 1) / count * sum((value - mean) ** 2 for value in without)) / rate
    return Rate(rate, cpu / total, (len(sums) if whole_film else items) / total, spread, count, whole_film)


def _start_s(catalog: Catalog, worked: Mapping[str, float]) -> float:
    """What runs took beside their steps, the least of them: loading, joining, the catalog, the report."""
    rests = []
    for row in _rows(catalog, "runs", ("run_id", "command", "seconds", "config")):
        if str(row["command"]).startswith("preprocess") and row["run_id"] in worked and row["seconds"]:
            runtime = json.loads(row["config"] or "{}").get("runtime", {})
            at_once = 1 if runtime.get("in_process") else max(1, runtime.get("actors") or 1)
            rests.append(row["seconds"] - worked[row["run_id"]] / at_once)
    rests = [rest for rest in rests if rest > 0]
    return min(rests) if rests else 0.0


def _version_bytes(root: Root, films: Iterable[Row]) -> float:
    """Bytes of the current versions for a second of their films."""
    from storage.versions import list_versions

    seconds: dict[str, float] = defaultdict(float)
    for row in films:
        seconds[row["dataset"]] += row["duration_s"]
    held = {
        version.dataset: _tree_bytes(version.path) for version in list_versions(root)
        if version.current and version.dataset in seconds
    }  # fmt: skip
    return sum(held.values()) / max(1e-9, sum(seconds[name] for name in held)) if held else 0.0


def _tree_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _rows(catalog: Catalog, table: str, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    if not (catalog.path / f"{table}.lance").is_dir():
        return []
    return catalog.rows(table, columns=columns)
