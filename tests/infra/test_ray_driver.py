"""The script that keeps a Ray node and a Prefect worker together: whichever ends, the other ends as well."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import PROJECT

SCRIPT = PROJECT / "infra" / "ray-driver.sh"
Start = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """The script with programs in the places of Ray's and Prefect's that tell when they begin and are asked to end."""
    for name, asked in (("ray", '[ "$1" = status ] && exit 0'), ("prefect", ":")):
        program = tmp_path / name
        program.write_text(
            f'#!/bin/bash\n{asked}\necho $$ > {tmp_path}/{name}.pid\necho "$@" > {tmp_path}/{name}.words\n'
            f"trap 'touch {tmp_path}/{name}.ended; exit 0' TERM\nwhile :; do sleep 0.1; done\n"
        )
        program.chmod(0o755)

    def begin() -> subprocess.Popen[bytes]:
        script = subprocess.Popen(
            [SCRIPT, "pool", "ray", "start", "--block"], env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        )
        wait(lambda: (tmp_path / "prefect.pid").exists() and (tmp_path / "prefect.words").exists())
        return script

    return begin


def wait(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_it_starts_both(start: Start, tmp_path: Path) -> None:
    script = start()
    assert (tmp_path / "prefect.words").read_text().split() == [
        "worker",
        "start",
        "--pool",
        "pool",
        "--type",
        "process",
    ]
    assert (tmp_path / "ray.words").read_text().split() == ["start", "--block"]
    script.terminate()
    script.wait(60)
    wait(lambda: (tmp_path / "ray.ended").exists() and (tmp_path / "prefect.ended").exists())


@pytest.mark.parametrize(("dies", "ends"), [("ray", "prefect"), ("prefect", "ray")])
def test_when_one_dies_the_other_is_ended(start: Start, tmp_path: Path, dies: str, ends: str) -> None:
    script = start()
    os.kill(int((tmp_path / f"{dies}.pid").read_text()), 9)
    assert script.wait(60) != 0
    wait(lambda: (tmp_path / f"{ends}.ended").exists())
