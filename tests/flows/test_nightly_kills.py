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
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import PROJECT
from tests.flows.killed_nights import SETTINGS, alive, anew, compare, laid_out, state, watched

TARGETS = {
    "flow": "flows.cli",
    "server": "flows.prefect_app",
    "worker": "ray::",
    "node": "raylet",
    "head": "gcs_server",
}
"""What is killed, and a word of its command line."""
HANGS_S, GONE_S = 1200.0, 180.0
"""After so long a night hangs; what it started must be gone so soon after it."""


class Night:
    """A night as a process of its own, in a session of its own."""

    def __init__(self, place: Path) -> None:
        words = [word for setting in SETTINGS for word in ("--set", setting)]
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


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return laid_out(tmp_path)


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
    assert quiet["promoted"] and quiet["rerendered"] == 1, "a night that changes nothing would show little"
    expected = state(place)
    assert not expected["aside"] and len(expected["champions"]) == 2
    killed: list[str] = []
    while len(killed) < kills:
        anew(place)
        targets = list(TARGETS) if kills - len(killed) > 2 else ["flow", "worker"]
        with watched(place / "root") as champions:
            disturbed(place, draw, targets, killed, min(kills, len(killed) + 5), lasted)
        compare(place, expected, champions, killed)
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
