"""Nights under `dubwright up` that are killed again and again: run, worker, server, Ray's workers and node."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import time
from pathlib import Path
from uuid import UUID

import psutil
import pytest

from flows.server import is_healthy
from flows.services import marked
from storage.layout import Root
from tests.flows.killed_nights import SETTINGS, anew, compare, laid_out, state, watched
from tests.flows.serving import Served, until, up

KILLS = int(os.environ.get("DUBWRIGHT_SERVED_KILLS", "0"))
PER_UP = 10
"""So many kills before the end is compared and all is begun anew."""
MOST_NIGHTS = 30
WORDS = [word for setting in SETTINGS for word in ("--set", setting)]
TARGETS = {
    "run": "prefect.engine",
    "worker": "prefect worker start",
    "server": "flows.prefect_app",
    "Ray worker": "ray::",
    "Ray node": "raylet/raylet",
    "Ray head": "gcs_server",
}
"""What is killed, and words of its command line."""


def kill(served: Served, target: str, draw: random.Random) -> bool:
    """SIGKILL one process of that kind; False where there is none."""
    found = []
    for pid in marked(served.note()["token"]):
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            if TARGETS[target] in " ".join(process.cmdline()):
                found.append(process)
    if found:
        with contextlib.suppress(psutil.Error):
            draw.choice(found).kill()
            return True
    return False


def begun(served: Served, place: Path) -> UUID:
    return served.begin("nightly/nightly", sources=[str(place / "incoming" / "manifest.csv")]).id


def found_nothing(served: Served, run: UUID) -> bool:
    """Waits for its end; whether there was nothing left to do."""
    done = served.ended(run)
    assert done.state is not None
    print(f"   {done.state.name}: {(done.state.message or '')[:200]}", flush=True)  # noqa: T201
    return done.state.is_completed() and "nothing new" in str(served.artifacts(run)["nightly-summary"].data)


def to_the_end(served: Served, place: Path) -> None:
    for _ in range(MOST_NIGHTS):
        if found_nothing(served, begun(served, place)):
            return
    raise AssertionError(f"{MOST_NIGHTS} nights did not come to an end")


def disturbed(served: Served, run: UUID, target: str, draw: random.Random, lasted: float) -> bool:
    """Whether a night was hit, at a moment drawn by lot."""
    deadline = time.monotonic() + draw.uniform(1, lasted)
    while not served.is_over(run):
        if time.monotonic() >= deadline and kill(served, target, draw):
            until(lambda: is_healthy(f"http://127.0.0.1:{served.port}/api"), "the server was not started again")
            return True
        time.sleep(0.2)
    return False


@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
@pytest.mark.skipif(not KILLS, reason="DUBWRIGHT_SERVED_KILLS=N: N kills, a minute or two each")
def test_served_nights_killed_again_and_again_end_as_a_quiet_one(tmp_path: Path) -> None:
    place = laid_out(tmp_path)
    draw = random.Random(int(os.environ.get("DUBWRIGHT_SEED", "7")))
    shutil.copytree(place / "root", place / "before")
    with up(Root(place / "root"), *WORDS) as served:
        began = time.monotonic()
        assert not found_nothing(served, begun(served, place))
        lasted = time.monotonic() - began
        to_the_end(served, place)
    expected = state(place)
    assert not expected["aside"] and len(expected["champions"]) == 2
    killed: list[str] = []
    while len(killed) < KILLS:
        anew(place)
        with up(Root(place / "root"), *WORDS) as served, watched(place / "root") as champions:
            for _ in range(min(PER_UP, KILLS - len(killed))):
                run, target = begun(served, place), draw.choice(list(TARGETS))
                hit = disturbed(served, run, target, draw, lasted)
                if found_nothing(served, run):
                    break  # all was done before this kill
                if hit:
                    killed.append(target)
                    print(f"{len(killed)}: {target}", flush=True)  # noqa: T201
            to_the_end(served, place)
        compare(place, expected, champions, killed)
    print(f"{len(killed)} kills: {', '.join(f'{killed.count(name)} {name}' for name in TARGETS)}")  # noqa: T201
