"""A night that is killed again and again: flow, server, Ray's workers and node. It ends as a quiet one does."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

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
from tests.conftest import LIBRARY, PROJECT
from tests.flows.nights import SMALL, faint, films, settings

LINE, DATASET = "studio", "nightly"
TARGETS = {
    "flow": "flows.cli",
    "server": "prefect.server.api.server",
    "worker": "ray::",
    "node": "raylet",
    "head": "gcs_server",
}
"""What is killed, and a word of its command line."""
HANGS_S, GONE_S = 1200.0, 180.0
"""After so long a night hangs; what it started must be gone so soon after it."""
OF_THE_RUN = {
    "run_id", "seconds", "cpu_seconds", "created", "attempts", "look_seconds", "render_seconds", "finish_seconds",
    "metrics", "train_rate",
}  # fmt: skip
"""Columns that say how a row came about, not what it is."""


class Night:
    """A night as a process of its own, in a session of its own."""

    def __init__(self, place: Path) -> None:
        words = [
            word
            for setting in settings(
                runtime__in_process=False, train__workers=1, train__checkpoint_every=1, nightly__steps=4,
                train__learning_rate=3e-4, nightly__rerender="all", evaluate__emotion_clips=1, runtime__actors=1,
            )
            for word in ("--set", setting)
        ]  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "--root", str(place / "root"), "nightly",
             str(place / "incoming" / "manifest.csv"), "--json", *words],
            cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            start_new_session=True,
        )  # fmt: skip
        self.seen: dict[int, psutil.Process] = {}

    def kill(self, target: str, draw: random.Random) -> bool:
        """SIGKILL one process of that kind; False where there is none."""
        with contextlib.suppress(psutil.Error):
            family = psutil.Process(self.process.pid).children(recursive=True)
            self.seen |= {child.pid: child for child in family}
            found = [child for child in family if TARGETS[target] in " ".join(child.cmdline())]
            chosen = psutil.Process(self.process.pid) if target == "flow" else draw.choice(found) if found else None
            if chosen is not None:
                chosen.kill()
                return True
        return False

    def ended(self) -> dict[str, Any] | None:
        """Its result, None where it failed or was killed; what it started is gone then, too."""
        try:
            out, _ = self.process.communicate(timeout=HANGS_S)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
        deadline = time.monotonic() + GONE_S
        while (left := [one for one in self.seen.values() if alive(one)]) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not left, f"these outlived their night: {left}"
        try:
            result: dict[str, Any] = json.loads(out)
        except ValueError:
            return None
        return result if result.get("run_id") and not result["counts"]["failed"] else None


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


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with footage of a night and a root whose champion is worse than it could be; it has made a dub."""
    root, registry = tmp_path / "root", Registry(tmp_path / "root")
    registry.promote(registry.register(faint(tmp_path / "faint"), LINE), "for a test")
    films(tmp_path / "train", (2,), "train")
    films(tmp_path / "val", (0, 1), "val")
    lines = (tmp_path / "train" / "manifest.csv").read_text().splitlines()
    lines += (tmp_path / "val" / "manifest.csv").read_text().splitlines()[1:]
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    for file in (*(tmp_path / "train").glob("*.mp4"), *(tmp_path / "val").glob("*.mp4")):
        file.rename(incoming / file.name)
    (incoming / "manifest.csv").write_text("\n".join(lines) + "\n")
    job = Job(str(sorted(incoming.glob("*.mp4"))[0]), str(LIBRARY / "welcome.dub.wav"), None, None, "dub.mp4", True)
    config = load_config(root=root, overrides={**SMALL, "gate.keep_back": False})
    champion = champion_or_named(Root(root), config)
    Catalog(root).upsert("renders", dub_many([job], champion.path, config, model_id=champion.model_id))
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
def test_killed_again_and_again_a_night_ends_as_if_nobody_had(place: Path) -> None:
    """DUBWRIGHT_NIGHT_KILLS kills (2), over as many nights as it takes; DUBWRIGHT_SEED draws others."""
    kills = int(os.environ.get("DUBWRIGHT_NIGHT_KILLS", "2"))
    draw = random.Random(int(os.environ.get("DUBWRIGHT_SEED", "7")))
    shutil.copytree(place / "root", place / "before")
    began = time.monotonic()
    quiet = Night(place).ended()
    lasted = time.monotonic() - began
    assert quiet is not None
    expected = state(place)
    assert not expected["aside"] and len(expected["champions"]) == 1 + quiet["promoted"]
    killed: list[str] = []
    while len(killed) < kills:
        shutil.rmtree(place / "root")
        shutil.copytree(place / "before", place / "root")
        targets = list(TARGETS) if kills - len(killed) > 2 else ["flow", "worker"]
        with watched(place / "root") as champions:
            disturbed(place, draw, targets, killed, min(kills, len(killed) + 5), lasted)
        found = state(place)
        for name, value in expected.items():
            assert found[name] == value, f"{name} differs after {killed}"
        assert champions == expected["champions"][-len(champions) :]
    assert len(killed) >= kills
    print(f"{len(killed)} kills: {', '.join(f'{killed.count(name)} {name}' for name in TARGETS)}")  # noqa: T201


def disturbed(
    place: Path, draw: random.Random, targets: list[str], killed: list[str], until: int, lasted: float
) -> None:
    """Nights with a kill at a moment drawn by lot in each, until there were so many and one came to its end."""
    while True:
        night = Night(place)
        if len(killed) < until:
            deadline, target = time.monotonic() + draw.uniform(1, lasted), draw.choice(targets)
            while night.process.poll() is None:
                if time.monotonic() >= deadline and night.kill(target, draw):
                    killed.append(target)
                    print(f"{len(killed)}: {target}", flush=True)  # noqa: T201 - with -s, for whoever waits
                    break
                time.sleep(0.05)
        result = night.ended()
        if result is not None and len(killed) >= until:
            return
        if result is not None and "verdict" not in result:
            return  # all was done before the next kill
