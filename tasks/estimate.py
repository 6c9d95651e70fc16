"""The plan of a preprocessing: what each step would be done to, how long it takes, what it leaves and what it costs.

Files are looked at by their headers only, and nothing is written. Times come from measured rates (`estimate_rates`); a
range says how far they may be off.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from storage.catalog import Catalog
from storage.errors import DubwrightError
from storage.layout import Root
from storage.media_glance import Glance, glance
from tasks.config import Config
from tasks.estimate_rates import Rate, Rates, measured_rates, shipped_rates
from tasks.experts import expert_versions
from tasks.sources import Source
from tasks.steps.keys import Inputs, step_keys
from tasks.steps.recipe import STEPS
from tasks.steps.store import Store

GLANCES = 1500
"""Files whose headers are read; of more, every n-th, and the others are taken to be like them, byte for byte."""
COMPARED = 24
"""Known files that are compared with what is kept of them, to tell which steps are to be done again."""
_LEAST_SPREAD, _SHIPPED_FACTOR = 0.1, 3.0


@dataclass(frozen=True)
class StepPlan:
    """A step: films and clips (estimated) that it is done to, seconds of work on one worker and their range, and the
    processor time; None where nobody has measured the step."""

    step: str
    films: int
    clips: int | None
    seconds: float | None
    low: float | None
    high: float | None
    cpu_seconds: float | None
    cost: float | None = None


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    films: sources given; of these new, known (seen by an earlier run as they are), refused (by their names) and
    unreadable. film_s: seconds of film, estimated; wall_s, wall_low, wall_high: seconds that the run takes with
    `workers`; bytes: left on the disk, of which version_bytes for the dataset. cost: of the processors or accelerators
    for the run, cost_month: of the storage for a month, in the currency of the prices; None without a price.
    """

    films: int
    new: int
    known: int
    refused: int
    unreadable: int
    film_s: float
    clips: int
    workers: int
    steps: list[StepPlan]
    seconds: float
    cpu_seconds: float
    wall_s: float
    wall_low: float
    wall_high: float
    version_bytes: int
    bytes: int
    cost: float | None
    cost_month: float | None
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def estimate(sources: Sequence[Source], config: Config, workers: int = 0) -> Plan:
    """The plan for these sources under this configuration.

    Args:
        workers: that work beside each other; 0: as many as the configuration asks for, else one for each CPU here.
    """
    root = Root(config.root)
    workers = workers or workers_here(config)
    usable = [source for source in sources if source.refused is None]
    seen = _seen(root)
    looks, share = _looks(usable)
    known = [source for source in usable if source.uri in seen and seen[source.uri][0] == _size(source.uri)]
    known_uris = {source.uri for source in known}
    film_s = {"new": 0.0, "known": 0.0}
    for source, look in looks:
        film_s["known" if source.uri in known_uris else "new"] += look.duration_s * share
    shipped = shipped_rates()
    rates = measured_rates(root) or shipped
    again = _again(known, seen, config)
    notes = [f"rates: {rates.where}"]
    steps = [
        _step(
            name,
            rates,
            shipped,
            film_s,
            again.get(name, 1.0),
            len(usable) - len(known),
            len(known),
            _width(looks, rates),
        )
        for name in (step.name for step in STEPS)
    ]
    unmeasured = [step.step for step in steps if step.seconds is None]
    if unmeasured:
        notes.append(f"not measured yet, so not counted: {', '.join(unmeasured)}")
    busy = sum(step.cpu_seconds or 0 for step in steps) / max(1e-9, sum(step.seconds or 0 for step in steps))
    if rates.measured_here and 0 < busy < 0.6:
        notes.append(f"the steps measured waited: {busy:.0%} of their time was work of a processor; see the low end")
    if share > 1:
        notes.append(f"headers of {len(looks):,} of {len(usable):,} files were read, the others taken to be like them")
    if known:
        notes.append(f"{len(known):,} films are known from earlier runs; what is kept of their steps is not done again")
    unreadable = sum(not look.readable for _, look in looks)
    return _total(config, rates, steps, film_s, workers, notes, {
        "films": len(sources), "new": len(usable) - len(known), "known": len(known),
        "refused": len(sources) - len(usable), "unreadable": round(unreadable * share),
    })  # fmt: skip


def _total(
    config: Config,
    rates: Rates,
    steps: list[StepPlan],
    film_s: dict[str, float],
    workers: int,
    notes: list[str],
    counts: dict[str, int],
) -> Plan:
    seconds = sum(step.seconds or 0.0 for step in steps)
    low, high = sum(step.low or 0.0 for step in steps), sum(step.high or 0.0 for step in steps)
    at_once = max(1, min(workers, counts["films"] or 1))
    wall = rates.start_s + seconds / at_once
    hours = {name: getattr(config.runtime, name, None) for name in ("price_per_cpu_hour", "price_per_gpu_hour")}
    month = getattr(config.runtime, "price_per_gb_month", None)
    held = {"price_per_cpu_hour": at_once, "price_per_gpu_hour": 1}
    costs = [price * held[name] * wall / 3600 for name, price in hours.items() if price is not None]
    total_s = film_s["new"] + film_s["known"]
    kept = round(rates.version_bytes * total_s)
    left = kept + round(rates.step_bytes * film_s["new"])
    cost = sum(costs) if costs else None
    if cost is not None and seconds:
        steps = [
            StepPlan(**(asdict(step) | {"cost": cost * step.seconds / seconds})) if step.seconds is not None else step
            for step in steps
        ]
    first = next((step for step in steps if step.clips is not None), None)
    rate = next((entry for name, entry in rates.steps.items() if not entry.whole_film), None)
    clips = round(rate.items * total_s) if rate is not None else (first.clips or 0 if first else 0)
    return Plan(
        **counts, film_s=total_s, clips=clips, workers=at_once, steps=steps, seconds=seconds,
        cpu_seconds=sum(step.cpu_seconds or 0.0 for step in steps), wall_s=wall,
        wall_low=rates.start_s * 0.7 + low / at_once, wall_high=rates.start_s * 1.5 + high / at_once,
        version_bytes=kept, bytes=left, cost=cost,
        cost_month=None if month is None else month * left / 1e9, notes=notes,
    )  # fmt: skip


def _step(
    name: str, rates: Rates, shipped: Rates, film_s: dict[str, float], again: float, new: int, known: int, width: float
) -> StepPlan:
    """What a step costs for the new films, and for the share `again` of those known."""
    films = new + round(known * again)
    seconds = film_s["new"] + film_s["known"] * again
    rate: Rate | None = rates.steps.get(name) or shipped.steps.get(name)
    if rate is None:
        return StepPlan(name, films, None, None, None, None, None)
    spent = rate.seconds * seconds
    factor = 1 + max(_LEAST_SPREAD, 2 * rate.spread)
    if not rates.measured_here or name not in rates.steps:
        factor = _SHIPPED_FACTOR
    # On a machine that had nothing else to do it would have taken about its processor time.
    low = min(spent, rate.cpu_seconds * seconds) / factor
    high = spent * factor * (width if rate.whole_film or name == "crops" else 1.0)
    clips = None if rate.whole_film else round(rate.items * seconds)
    return StepPlan(name, films, clips, spent, low, high, rate.cpu_seconds * seconds)


def _width(looks: Sequence[tuple[Source, Glance]], rates: Rates) -> float:
    """How much longer reading a frame may take than in the films measured: as it is larger in height or width. Some of
    the work grows with the pixels, some (the detector's own picture) hardly."""
    pixels = [look.pixels for _, look in looks if look.pixels]
    return max(1.0, math.sqrt(sum(pixels) / len(pixels) / rates.pixels)) if pixels and rates.pixels else 1.0


def _looks(sources: Sequence[Source]) -> tuple[list[tuple[Source, Glance]], float]:
    """Headers of the files, or of every n-th, and how many bytes of all there are for one of those looked at."""
    every = max(1, math.ceil(len(sources) / GLANCES))
    looks = [(source, glance(source.uri)) for source in sources[::every]]
    if every == 1:
        return looks, 1.0
    looked = sum(look.bytes for _, look in looks)
    return looks, sum(_size(source.uri) for source in sources) / looked if looked else float(every)


def workers_here(config: Config, kind: Literal["preprocess", "render"] = "preprocess") -> int:
    """Workers that a run has, where there is enough to do: on this machine, or on the cluster that is named."""
    runtime = config.runtime
    told = getattr(runtime.resources, kind).workers or runtime.actors
    if runtime.in_process or told:
        return 1 if runtime.in_process else told
    from tasks import cluster  # Ray takes a second to import
    from tasks.cluster_room import has_gpus, needs_of, workers_for

    if cluster.address(config) is None:
        return max(0, runtime.num_cpus - 1) or len(os.sched_getaffinity(0))
    cluster.join(config)
    needs = needs_of(config, kind, on_gpu=None if kind == "preprocess" else has_gpus())
    return workers_for(sys.maxsize, kind, needs, config, spare=1)


def _seen(root: Root) -> dict[str, tuple[int, str]]:
    """Place → bytes and source_id of the files that earlier runs took in."""
    if not (root.catalog / "sources.lance").is_dir():
        return {}
    rows = Catalog(root).rows("sources", columns=["uri", "bytes", "source_id"])
    return {row["uri"]: (int(row["bytes"]), row["source_id"]) for row in rows if row["bytes"] is not None}


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return -1


def _again(known: Sequence[Source], seen: Mapping[str, tuple[int, str]], config: Config) -> dict[str, float]:
    """Step → share of the known films that it would be done to again, by some of them: settings, experts or the sound
    may have changed since. A film that never came to a step (nobody spoke) is none of them."""
    every = max(1, math.ceil(len(known) / COMPARED))
    store, steps, experts = Store.of(config), STEPS, expert_versions(config)
    gone: dict[str, list[bool]] = {step.name: [] for step in steps}
    some = known[::every]
    ids = ", ".join(f"'{seen[source.uri][1]}'" for source in some)
    ledger = Catalog(config.root).rows("steps", f"source_id IN ({ids})", columns=["source_id", "step"]) if some else []
    done = {(row["source_id"], row["step"]) for row in ledger}
    for source in some:
        try:
            keys = step_keys(steps, Inputs.of(source, config, fetch=False), config, experts)
        except DubwrightError:
            continue
        for name, key in keys.items():
            gone[name].append((seen[source.uri][1], name) in done and not store.path(name, key).is_file())
    return {name: sum(each) / len(each) if each else 0.0 for name, each in gone.items()}
