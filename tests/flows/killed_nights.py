"""Nights that are killed: where they begin, who looks at the champion meanwhile, and all that is there in the end."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from storage import versions
from storage.catalog import Catalog
from storage.layout import Root
from storage.registry import Registry
from storage.schema import SCHEMAS, key_of
from storage.shards import read_rows
from tasks.champion import champion_or_named
from tasks.config import load_config
from tasks.jobs import Job
from tasks.library_run import dub_many
from tests.conftest import LIBRARY
from tests.flows.nights import SMALL, faint, films, settings

LINE, DATASET = "studio", "nightly"
SETTINGS = settings(
    runtime__in_process=False, train__workers=1, train__checkpoint_every=1, nightly__steps=4,
    train__learning_rate=3e-4, nightly__rerender="all", evaluate__emotion_clips=1, runtime__actors=1,
)  # fmt: skip
OF_THE_RUN = {
    "run_id", "seconds", "cpu_seconds", "created", "attempts", "look_seconds", "render_seconds", "finish_seconds",
    "metrics", "train_rate",
}  # fmt: skip
"""Columns that say how a row came about, not what it is."""


def laid_out(folder: Path) -> Path:
    """The folder, with footage of a night and a root whose champion is worse than it could be; it has made a dub."""
    root, registry = folder / "root", Registry(folder / "root")
    registry.promote(registry.register(faint(folder / "faint"), LINE), "for a test")
    films(folder / "train", (2,), "train")
    films(folder / "val", (0, 1), "val")
    lines = (folder / "train" / "manifest.csv").read_text().splitlines()
    lines += (folder / "val" / "manifest.csv").read_text().splitlines()[1:]
    incoming = folder / "incoming"
    incoming.mkdir()
    for file in (*(folder / "train").glob("*.mp4"), *(folder / "val").glob("*.mp4")):
        file.rename(incoming / file.name)
    (incoming / "manifest.csv").write_text("\n".join(lines) + "\n")
    job = Job(str(sorted(incoming.glob("*.mp4"))[0]), str(LIBRARY / "welcome.dub.wav"), None, None, "dub.mp4", True)
    config = load_config(root=root, overrides={**SMALL, "gate.keep_back": False})
    champion = champion_or_named(Root(root), config)
    Catalog(root).upsert("renders", dub_many([job], champion.path, config, model_id=champion.model_id))
    return folder


def anew(place: Path) -> None:
    """The root as it was before the quiet night, of which the test keeps a copy."""
    shutil.rmtree(place / "root")
    shutil.copytree(place / "before", place / "root")


def alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@contextlib.contextmanager
def watched(root: Path) -> Iterator[list[str]]:
    """Verifies the champion all the time; gives the ids that it saw."""
    over, seen, wrong = threading.Event(), [], []

    def watch() -> None:
        registry = Registry(root)
        while not over.wait(0.1):
            try:
                row = registry.champion(LINE)
                assert row is not None, "there is no champion"
                registry.verify(row["model_id"])
                if row["model_id"] not in seen[-1:]:
                    seen.append(row["model_id"])
            except Exception as error:  # noqa: BLE001 - whatever it is, the champion could not be used
                wrong.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
    assert not wrong, wrong[0]


def state(place: Path) -> dict[str, Any]:
    """All that a root holds at the end of a night, without what tells only how it came about."""
    root, registry, catalog = Root(place / "root"), Registry(place / "root"), Catalog(place / "root")
    version = versions.show_version(root, DATASET)
    clips = [row["clip_id"] for row in read_rows(version.path, ["clip_id"])]
    assert len(clips) == len(set(clips))
    tables: dict[str, Any] = {}
    for table in ("sources", "clips", "steps", "renders", "models"):
        rows, key = catalog.rows(table), key_of(SCHEMAS[table])
        assert len(rows) == len({row[key] for row in rows}), f"a row of {table} is there twice"
        kept = ({name: value for name, value in row.items() if name not in OF_THE_RUN} for row in rows)
        tables[table] = sorted(json.dumps(row, default=str) for row in kept)
    gates = {row["model_id"]: json.loads(row["metrics"]).get("gate") for row in registry.models(LINE)}
    files = {str(file.relative_to(root.local)): file.read_bytes() for file in root.renders.rglob("*.mp4")}
    aside = [str(file) for folder in (root.datasets, root.models, root.renders) for file in folder.rglob("*.partial")]
    return {
        "dataset": version.version, "clips": sorted(clips), "tables": tables, "gates": gates, "files": files,
        "aside": aside, "champions": [event["model_id"] for event in registry.history(LINE)],
    }  # fmt: skip


def compare(place: Path, expected: dict[str, Any], champions: list[str], killed: list[str]) -> None:
    """What is there against the end of a quiet night, and the champions that were seen against those it had."""
    found = state(place)
    for name, value in expected.items():
        assert found[name] == value, f"{name} differs after {killed}"
    assert champions == expected["champions"][-len(champions) :]
