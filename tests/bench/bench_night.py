"""What Prefect, the report and the bookkeeping cost a night: its flow against its stages as plain functions.

The work itself (steps of preprocessing, training, renderings) is done before and found done by both, so that what is
left of each is what the other measures of it. Run by `make bench`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from prefect import flow

from flows.artifacts import UPDATE_EVERY_S, Tracked
from flows.nightly import night_config, nightly
from flows.options import Options
from flows.run_server import prefect_api
from storage.catalog import Catalog
from storage.layout import Root
from storage.registry import Registry
from tasks.champion import champion_or_named
from tasks.nights import GATE
from tasks.preprocess import preprocess_many
from tasks.probe import find_sources
from tasks.steps.ledger import ledger_rows
from tasks.training.ray_fit import fit
from tests.conftest import PROJECT
from tests.flows.nights import films, settings

FIXED_S, SHARE = 60.0, 0.05
DATASET = "nightly"


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Options, list[str]]]:
    """A root in which a night was done, and its footage."""
    folder = tmp_path_factory.mktemp("night")
    options = Options(root=str(folder / "root"), settings=settings(nightly__steps=2, nightly__rerender="none"))
    sources = [str(films(folder / "incoming", range(6), "train"))]
    with prefect_api(Root(folder / "root").create()) as ready:
        ready()
        nightly(options, sources, DATASET)
        yield options, sources


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def forget(options: Options) -> None:
    """Let the next night come to all of its stages: nothing was judged, no footage seen."""
    registry, root = Registry(options.place()), options.place()
    for row in registry.models():
        registry.note(row["model_id"], {GATE: None})
    for note in (root.cache / "nights").glob("*.json"):
        note.unlink()


def plain(options: Options, sources: list[str]) -> None:
    """The stages of a night without flow, tasks, progress, artifacts and report."""
    config = night_config(options)
    root, registry, catalog = Root(config.root), Registry(config.root), Catalog(config.root)
    built = preprocess_many(find_sources(sources, "auto", config.root), DATASET, config)
    catalog.upsert("steps", list(ledger_rows(built, config, "plain")))
    catalog.upsert("clips", built.clips)
    catalog.upsert("sources", built.sources)
    champion = champion_or_named(root, config)
    (out,) = (root.cache / "training").iterdir()
    trained = fit("image", config, built.folder, champion.path, out, cache=root.cache / "latents")
    registry.register(trained["path"], config.model.name)
    catalog.upsert("models", registry.models())


def test_what_a_night_costs_beside_its_work(night: tuple[Options, list[str]]) -> None:
    options, sources = night
    plains, flows = [], []
    for _ in range(3):
        plains.append(timed(lambda: plain(options, sources)))
        forget(options)
        flows.append(timed(lambda: nightly(options, sources, DATASET)))
    quiet = timed(lambda: nightly(options, sources, DATASET))
    words = [sys.executable, "-m", "flows.cli", "--root", str(options.root), "nightly", *sources, "--json"]
    words += [word for setting in options.settings for word in ("--set", setting)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = timed(lambda: subprocess.run(words, cwd=PROJECT, env=environment, check=True, capture_output=True))
    update = update_s()
    fixed = min(flows) - min(plains) + command - quiet
    share = fixed / 3600 + update / UPDATE_EVERY_S
    told = (
        f"stages as plain functions {min(plains):.2f} s, the flow {min(flows):.2f} s; a night without anything new "
        f"{quiet:.2f} s, as a command with its own server {command:.2f} s; an update of the progress "
        f"{1000 * update:.0f} ms every {UPDATE_EVERY_S:g} s: {fixed:.1f} s a night, {share:.1%} of an hour of work"
    )
    print(f"\n{told}")  # noqa: T201 - what a bench is for
    assert fixed <= FIXED_S
    assert share <= SHARE


def update_s() -> float:
    """Seconds of one update of a progress artifact: what an item costs at most, and only every `UPDATE_EVERY_S`."""

    @flow
    def measured() -> float:
        with Tracked("bench", 100) as progress:
            return timed(lambda: [progress.send(float(percent)) for percent in range(20)]) / 20

    return float(measured())
