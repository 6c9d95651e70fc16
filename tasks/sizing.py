"""How large a cluster is for so much footage a night: CPUs, nodes, memory and disk, from the measured rates.

The rates are those that plans are made from (`estimate_rates`, `dub_rates`): of this root's own ledger where it has
one, else as shipped. `infra/kuberay` states for what load it was sized, and a test holds it to this.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from storage.catalog import Catalog
from storage.layout import Root
from tasks.config import Config
from tasks.dub_rates import DubRates, dub_rates, passes, shipped_dub_rates
from tasks.estimate_rates import Rates, measured_rates, shipped_rates

WORKER_BYTES = 1_500_000_000
"""Memory of one worker with its models: 0.93 GB of preprocessing, 1.02 GB with a driver beside it were measured
(resident, studio profile, 2.4 s films at 160 px); the rest is room for larger frames."""
NODE_BYTES = 2_000_000_000
"""What a node takes beside its workers: raylet, agents, object store."""
BUSY = 0.7
"""Share of a night in which a CPU is at work: starting, joining and the longest film at the end take the rest."""
_PIXELS = 1280 * 720


@dataclass(frozen=True)
class Load:
    """Work of one night. footage_h: hours of new footage to preprocess. dub_h: hours of film to dub, every language
    counted. window_h: hours in which it is to be done. pixels, fps: of the films."""

    footage_h: float
    dub_h: float
    window_h: float
    pixels: float = _PIXELS
    fps: float = 25.0


@dataclass(frozen=True)
class Size:
    """What that load takes. preprocess_cpu_h, dub_cpu_h: hours of one CPU. cpus: at work at once, of which nodes of
    `node_cpus` are made; memory_gb: of such a node; version_gb, render_gb: kept for good of each night (1e9 bytes).
    where: two sentences about where the rates were measured."""

    preprocess_cpu_h: float
    dub_cpu_h: float
    cpus: int
    nodes: int
    node_cpus: int
    memory_gb: float
    version_gb: float
    render_gb: float
    where: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def size(
    load: Load, config: Config, node_cpus: int = 8, rates: Rates | None = None, dubs: DubRates | None = None
) -> Size:
    """The cluster for a load.

    Args:
        rates, dubs: default: as shipped.
    """
    rates, dubs = rates or shipped_rates(), dubs or shipped_dub_rates()
    preprocess_h = load.footage_h * preprocess_cost(rates, load.pixels)
    dub_h = load.dub_h * dub_cost(dubs, config, load)
    cpus = math.ceil((preprocess_h + dub_h) / (load.window_h * BUSY))
    frames = load.dub_h * 3600 * load.fps
    return Size(
        preprocess_cpu_h=round(preprocess_h, 2),
        dub_cpu_h=round(dub_h, 2),
        cpus=cpus,
        nodes=math.ceil(cpus / node_cpus),
        node_cpus=node_cpus,
        memory_gb=round((node_cpus * WORKER_BYTES + NODE_BYTES) / 1e9, 1),
        version_gb=round(rates.version_bytes * load.footage_h * 3600 / 1e9, 2),
        render_gb=round(dubs.bytes_per_megapixel * load.pixels / 1e6 * frames / 1e9, 2),
        where=f"preprocessing: {rates.where}. Dubbing: {dubs.where}.",
    )


def preprocess_cost(rates: Rates, pixels: float) -> float:
    """Seconds of a CPU for a second of film. What is done to whole frames grows as plans say it may (`estimate`): with
    the square root of their pixels."""
    width = max(1.0, math.sqrt(pixels / rates.pixels)) if rates.pixels else 1.0
    return sum(
        rate.cpu_seconds * (width if rate.whole_film or name == "crops" else 1.0) for name, rate in rates.steps.items()
    )


def dub_cost(rates: DubRates, config: Config, load: Load) -> float:
    """Seconds of a CPU for a second of film with one face and an emotion asked for."""
    many = passes(config, felt=True)
    return sum(rate.cpu_share * rate.seconds(load.fps, load.pixels / 1e6, many) for rate in rates.kinds.values())


def size_here(load: Load, config: Config, node_cpus: int = 8) -> Size:
    """The same from what this root's own runs took, where it has any."""
    rows = Catalog(Root(config.root)).rows("renders") if (Root(config.root).catalog / "renders.lance").is_dir() else []
    return size(load, config, node_cpus, measured_rates(Root(config.root)), dub_rates(rows, config))
