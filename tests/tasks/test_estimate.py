"""The plan of a preprocessing: close to what the run then takes, made from headers, and nothing written."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest

from storage import media
from storage.catalog import Catalog
from storage.errors import NotFound
from storage.layout import Root
from storage.media_glance import glance
from tasks.config import Config, load_config
from tasks.estimate import estimate
from tasks.estimate_rates import measured_rates, ship, shipped_rates
from tasks.preprocess import preprocess_many
from tasks.sources import Source
from tasks.steps.ledger import ledger_rows
from tasks.studio.library import LIBRARY


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config("studio", tmp_path / "root", {"runtime.in_process": True})


@pytest.fixture(scope="module")
def films() -> list[Source]:
    """The films of the shipped library: all 2.4 s long."""
    return [Source(str(path)) for path in sorted((LIBRARY / "footage").glob("*.mp4"))]


def ledger(root: Path, films: int, seconds: float) -> None:
    """A catalog that says what some films of ten seconds cost: `seconds` of each step for each second of film."""
    catalog = Catalog(root)
    catalog.upsert(
        "sources",
        [{"source_id": f"s{i}", "dataset": "d", "uri": f"/gone/{i}.mp4", "status": "ok", "duration_s": 10.0,
          "width": 256, "height": 256, "bytes": 5} for i in range(films)],
    )  # fmt: skip
    rows: list[dict[str, Any]] = []
    for i in range(films):
        about = {"source_id": f"s{i}", "run_id": "r", "dataset": "d", "status": "ok", "cpu_seconds": seconds * 5}
        rows.append({"step_id": f"t{i}", "step": "tracks", "seconds": seconds * 10, **about})
        for clip in range(2):
            own = {"step_id": f"c{i}.{clip}", "clip_id": f"c{i}.{clip}", "seconds": seconds * 5 * (1 + 0.01 * i)}
            rows.append({"step": "crops", **about, **own})
    catalog.upsert("steps", rows)


def test_rates_come_from_the_ledger(tmp_path: Path, config: Config, films: list[Source]) -> None:
    root = Path(config.root)
    assert measured_rates(Root(root)) is None
    shipped = estimate(films, config)
    assert "shipped" in shipped.notes[0] and shipped.wall_high > 4 * shipped.wall_low / 2
    ledger(root, 20, 2.0)
    rates = measured_rates(Root(root))
    assert rates is not None and rates.films_measured == 20
    assert rates.steps["tracks"].seconds == pytest.approx(2.0) and rates.steps["tracks"].whole_film
    assert rates.steps["crops"].seconds == pytest.approx(2.0 * 1.095)
    assert rates.steps["crops"].items == pytest.approx(0.2) and rates.steps["crops"].spread < 0.05
    plan = estimate(films, config)
    steps = {step.step: step for step in plan.steps}
    assert plan.film_s == pytest.approx(2.4 * len(films), abs=1)
    assert steps["tracks"].seconds == pytest.approx(2.0 * plan.film_s) and steps["tracks"].clips is None
    assert steps["crops"].clips == round(0.2 * plan.film_s)
    assert plan.wall_low < plan.wall_s < plan.wall_high
    assert plan.seconds == pytest.approx(sum(step.seconds or 0 for step in plan.steps))
    assert estimate(films, config, workers=4).wall_s < plan.wall_s


def test_rates_can_be_shipped(tmp_path: Path, config: Config) -> None:
    with pytest.raises(NotFound):
        ship(Root(config.root), "nowhere", tmp_path / "rates.json")
    ledger(Path(config.root), 3, 2.0)
    ship(Root(config.root), "a machine", tmp_path / "rates.json")
    rates = shipped_rates(tmp_path / "rates.json")
    assert rates.where == "shipped with the program: a machine" and not rates.measured_here
    assert rates.steps["tracks"].seconds == rates.steps["tracks"].cpu_seconds == pytest.approx(1.0)
    assert set(shipped_rates().steps) >= {"tracks", "crops", "sync", "caption"}


def test_costs_need_prices(config: Config, films: list[Source]) -> None:
    plan = estimate(films, config)
    assert plan.cost is None and plan.cost_month is None and all(step.cost is None for step in plan.steps)
    priced = config.with_({"runtime.price_per_cpu_hour": 0.05, "runtime.price_per_gb_month": 0.02})
    plan = estimate(films, priced, workers=2)
    assert plan.cost == pytest.approx(0.05 * 2 * plan.wall_s / 3600)
    assert plan.cost_month == pytest.approx(0.02 * plan.bytes / 1e9)
    assert sum(step.cost or 0 for step in plan.steps) == pytest.approx(plan.cost)


def test_a_plan_writes_nothing_and_says_what_it_cannot_use(config: Config, films: list[Source], tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    more = [
        Source(str(tmp_path / "broken.mp4")),
        Source(str(tmp_path / "gone.mp4")),
        Source("x.mp4", refused="strange"),
    ]
    plan = estimate([*films, *more], config)
    assert (plan.films, plan.unreadable, plan.refused, plan.known) == (len(films) + 3, 2, 1, 0)
    assert not Path(config.root).exists()
    assert dataclasses.asdict(plan) == plan.as_dict()


def test_thousands_of_files_are_planned_at_once(config: Config, films: list[Source]) -> None:
    started = time.perf_counter()
    plan = estimate(films * 1000, config)
    assert time.perf_counter() - started < 30
    assert plan.film_s == pytest.approx(2400 * len(films), rel=0.05)


def test_a_glance_agrees_with_a_look(films: list[Source]) -> None:
    info = media.probe(films[0].uri)
    assert info.video is not None
    seen = glance(films[0].uri)
    assert seen.readable and seen.duration_s == pytest.approx(info.duration_s, abs=0.05)
    assert seen.pixels == info.video.width * info.video.height and seen.fps == pytest.approx(float(info.video.fps))
    assert not glance("/nowhere.mp4").readable


@pytest.mark.slow
def test_the_next_run_takes_what_the_plan_said(config: Config, films: list[Source]) -> None:
    catalog = Catalog(config.root)

    def run(sources: list[Source]) -> float:
        started = time.process_time()
        built = preprocess_many(sources, "d", config)
        spent = time.process_time() - started
        catalog.upsert("sources", built.sources)
        catalog.upsert("steps", list(ledger_rows(built, config, "run")))
        return spent

    run(films[:3])
    plan = estimate(films[3:6], config)
    assert plan.new == 3 and plan.workers == 1 and "ledger" in plan.notes[0]
    run(films[3:6])
    rows = [row for row in catalog.rows("steps") if row["source_uri"] in {film.uri for film in films[3:6]}]
    taken = sum(row["cpu_seconds"] for row in rows)
    assert taken / 1.5 < plan.cpu_seconds < taken * 1.5
    # What is done is not done again; another caption is, by itself.
    done = estimate(films[:6], config)
    assert done.known == 6 and done.seconds == 0
