"""One real run, with Prefect, Ray and every library that it takes: what it leaves behind, and whom it asks."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.environment import PRIVATE
from storage.layout import Root
from tests.conftest import LIBRARY, PROJECT
from tests.security import no_network

pytestmark = pytest.mark.timeout(1000)
KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLE"
OTHER = KEY.replace("/", "-")
RAYS_LOOK_FOR_A_CLOUD = 4
"""As it starts, Ray asks where clouds tell a machine what it is: twice the link-local 169.254.169.254, which no router
passes on, and the name server (twice) for Google's. There is no switch for that; of what it hears it may not report."""


@dataclass
class Ran:
    """What a run printed, left under its root, and tried to reach beyond this machine (None: could not be counted)."""

    code: int
    said: str
    result: dict[str, Any]
    root: Root
    attempts: int | None


def run(folder: Path, *words: str, **environment: str) -> Ran:
    """A command in a fresh root, in a network without a way out where that is possible."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "RAY_"))}
    ours = {name: value for name, value in ours.items() if name not in PRIVATE} | environment
    counts, root = folder / "counts.json", Root(folder / "root")
    around = [sys.executable, "-m", "tests.security.no_network", str(counts)] if no_network.is_possible() else []
    ran = subprocess.run(
        [*around, sys.executable, "-m", "flows.cli", "--root", str(root), "--json", *words],
        capture_output=True, text=True, cwd=PROJECT, env=ours, timeout=900,
    )  # fmt: skip
    assert ran.stdout, ran.stderr
    sys.stderr.write(ran.stderr[-3000:])
    attempts = json.loads(counts.read_text())["attempts"] if counts.is_file() else None
    return Ran(ran.returncode, ran.stdout + ran.stderr, json.loads(ran.stdout), root, attempts)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Preprocessing of a film of the library and of rows that carry secrets: in addresses, and the environment's."""
    folder = tmp_path_factory.mktemp("run")
    manifest = folder / "films.csv"
    manifest.write_text(
        "video,caption\n"
        f"{LIBRARY / 'welcome.mp4'},\n"
        f"s3://AKIAEXAMPLE:{KEY}@bucket/film.mp4,\n"
        f"s3://bucket/film.mp4?versionId={OTHER},\n"
        f"https://bucket.example/film.mp4?X-Amz-Signature={KEY},\n"
    )
    words = ("preprocess", str(manifest), "--dataset", "faces", "--set", "runtime.actors=1")
    return run(folder, *words, AWS_SECRET_ACCESS_KEY=OTHER, GITHUB_TOKEN=KEY)


@pytest.mark.slow
def test_every_row_ends_with_a_reason(ran: Ran) -> None:
    assert ran.code == 1, ran.said
    counts = ran.result["counts"]
    assert counts["ok"] >= 1 and counts["ok"] + counts["rejected"] + counts["failed"] == len(ran.result["items"])
    assert sum(item["status"] == "failed" for item in ran.result["items"]) == 3, ran.said


@pytest.mark.slow
@pytest.mark.parametrize("secret", [KEY, OTHER])
def test_a_run_leaves_no_secret_behind(ran: Ran, secret: str) -> None:
    """Neither in what it prints, nor in a report, row, log, configuration, or Prefect's database."""
    assert secret not in ran.said
    assert (ran.root.local / ".prefect" / "prefect.db").is_file()
    files = [file for file in ran.root.local.rglob("*") if file.is_file()]
    assert [file for file in files if secret.encode() in file.read_bytes()] == []


@pytest.mark.slow
def test_a_run_asks_nobody_beyond_this_machine(ran: Ran) -> None:
    """No telemetry, no look for updates, no download: the libraries' own included."""
    if ran.attempts is None:
        pytest.skip("this machine lets no process have a network of its own")
    assert ran.attempts <= RAYS_LOOK_FOR_A_CLOUD, ran.said


@pytest.mark.slow
def test_prefects_state_is_for_its_owner_alone(ran: Ran) -> None:
    assert stat.S_IMODE((ran.root.local / ".prefect").stat().st_mode) == 0o700


def test_what_goes_beyond_this_machine_is_counted(tmp_path: Path) -> None:
    if not no_network.is_possible():
        pytest.skip("this machine lets no process have a network of its own")
    scripts = {
        "import urllib.request as r\ntry: r.urlopen('http://192.0.2.1/', timeout=5)\nexcept OSError: pass": True,
        "import socket\ntry: socket.create_connection(('2001:db8::1', 443), timeout=5)\nexcept OSError: pass": True,
        "import socket\ns = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())": False,
    }
    for script, beyond in scripts.items():
        words = [
            sys.executable,
            "-m",
            "tests.security.no_network",
            str(tmp_path / "n.json"),
            sys.executable,
            "-c",
            script,
        ]
        subprocess.run(words, check=True, cwd=PROJECT)
        assert (json.loads((tmp_path / "n.json").read_text())["attempts"] > 0) == beyond
