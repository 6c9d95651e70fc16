"""The same work with production's services: Prefect's state in PostgreSQL, the root and the footage in S3."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tests.conftest import PROJECT

FILMS = ("person0_neutral.mp4", "person1_happy.mp4")
UNHURRIED_S = 900
pytestmark = [pytest.mark.slow, pytest.mark.timeout(4 * UNHURRIED_S)]

Call = Callable[..., dict[str, Any]]


@pytest.fixture
def call(s3: dict[str, str], prefect_on_postgres: str, tmp_path: Path) -> Call:
    """``call(root, "preprocess", …)``: a command with production's services; its JSON."""

    own = {"PREFECT_API_URL": prefect_on_postgres, "DUBWRIGHT_MIRROR": str(tmp_path / "mirror")}

    def run(root: str, *words: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", "--root", root, *words, "--json"], cwd=PROJECT, text=True,
            capture_output=True, timeout=UNHURRIED_S, env={**os.environ, **s3, **own},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    return run


def flow_runs(url: str) -> list[tuple[str, str]]:
    """(flow, state) of all runs in Prefect's database, read past Prefect."""
    import asyncpg

    async def read() -> list[tuple[str, str]]:
        connection = await asyncpg.connect(url.replace("+asyncpg", ""))
        try:
            asked = "SELECT flow.name, flow_run.state_type FROM flow_run JOIN flow ON flow.id = flow_run.flow_id"
            return [(str(name), str(state)) for name, state in await connection.fetch(asked)]
        finally:
            await connection.close()

    return asyncio.run(read())


def test_the_same_dataset_with_postgresql_and_s3(
    call: Call, s3: dict[str, str], postgres_url: str, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    footage = [library / "footage" / name for name in FILMS]
    bucket = fsspec.filesystem("s3")
    for film in footage:
        bucket.put_file(str(film), f"dubwright-test/films/{film.name}")
    quick = ("--dataset", "talks", "--set", "runtime.in_process=true")
    root, films = "s3://dubwright-test/root", "s3://dubwright-test/films"

    local = call(str(tmp_path / "local"), "preprocess", *map(str, footage), *quick)
    remote = call(root, "preprocess", films, *quick)
    assert remote["dataset"] == local["dataset"] and remote["counts"] == local["counts"]

    # Another machine, whose mirror is empty: it finds what the first one did, and a night has nothing new to do.
    shutil.rmtree(tmp_path / "mirror")
    assert call(root, "dataset", "show", "talks")["items"][0]["dataset_id"] == remote["dataset"]
    assert len(call(root, "catalog", "list", "--table", "clips")["items"]) == len(FILMS)
    night = call(root, "nightly", films, *quick)
    assert night["dataset"] == remote["dataset"] and night["promoted"] is False
    states = [state for name, state in flow_runs(postgres_url) if name in ("preprocess", "nightly")]
    assert states.count("COMPLETED") == len(states) == 3


def test_a_dub_on_one_machine_is_finished_on_the_next(call: Call, library: Path, tmp_path: Path) -> None:
    words = ("dub", str(library / "footage" / FILMS[0]), "--audio", str(library / "portrait.wav"),
             "--set", "runtime.in_process=true", "--set", "gate.keep_back=false")  # fmt: skip
    first = call("s3://dubwright-test/dubs", *words)
    shutil.rmtree(tmp_path / "mirror")
    again = call("s3://dubwright-test/dubs", *words)
    made, found = first["items"][0], again["items"][0]
    assert found["id"] == made["id"] and found["output"] == made["output"] and Path(found["output"]).is_file()
    assert found["metrics"]["seconds"] == made["metrics"]["seconds"]  # the row of then: nothing was rendered again
    assert len(call("s3://dubwright-test/dubs", "catalog", "list", "--table", "renders")["items"]) == 1
