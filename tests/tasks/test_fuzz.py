"""Broken media of every kind: no crash, no hang, no flood of memory, and a row that says why for every one.

``DUBWRIGHT_FUZZ=2000`` takes that many instead of the few that fit into every run of the tests.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from storage.schema import STATUSES
from tasks.config import Config
from tasks.preprocess import preprocess_many
from tasks.probe import Source
from tests.fuzz_reading import watched
from tests.fuzzing import mutant, whole_files

COUNT = int(os.environ.get("DUBWRIGHT_FUZZ", "150"))
MANY = int(os.environ.get("DUBWRIGHT_FUZZ", "20"))
LIMIT_S = 10.0
LIMIT_MB = 1000.0


@pytest.fixture(scope="module")
def mutants(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("mutants")
    whole = whole_files(tmp_path_factory.mktemp("whole"))
    paths = []
    for seed in range(COUNT):
        suffix, data = mutant(whole, seed)
        paths.append(folder / f"{seed:05d}{suffix}")
        paths[-1].write_bytes(data)
    return paths


def test_a_seed_gives_the_same_file_again(tmp_path: Path) -> None:
    whole = {".mp4": bytes(range(256)) * 20, ".png": b"\x89PNG" + bytes(500), ".wav": b"RIFF" + bytes(200)}
    assert [mutant(whole, seed) for seed in range(60)] == [mutant(whole, seed) for seed in range(60)]
    assert len({mutant(whole, seed)[1] for seed in range(60)}) > 50


@pytest.mark.slow
@pytest.mark.timeout(300 + COUNT)
def test_reading_outlives_every_broken_file(mutants: list[Path]) -> None:
    verdicts = watched(mutants[:COUNT], limit_s=LIMIT_S, limit_mb=LIMIT_MB)
    assert [Path(verdict.name) for verdict in verdicts] == mutants[:COUNT]
    wrong = [(Path(verdict.name).name, verdict.status, verdict.errors) for verdict in verdicts if verdict.errors]
    assert not wrong
    assert {verdict.status for verdict in verdicts} <= set(STATUSES)
    assert all(verdict.reason for verdict in verdicts if verdict.status != "ok")
    counts = Counter(verdict.status for verdict in verdicts)
    assert min(counts.values()) > COUNT / 50, f"mutations of one kind only: {counts}"


@pytest.mark.slow
@pytest.mark.timeout(300 + 3 * MANY)
def test_every_broken_file_ends_as_a_row_of_the_dataset(
    mutants: list[Path], talking: Path, config: Config, ray_session: None, tmp_path: Path
) -> None:
    """Half of them were a film of a face that speaks, so that the later steps meet them too."""
    paths = mutants[: MANY // 2]
    for seed in range(MANY - len(paths)):
        paths.append(tmp_path / f"talking{seed:05d}.mp4")
        paths[-1].write_bytes(mutant({".mp4": talking.read_bytes()}, seed)[1])
    sources = [Source(str(path)) for path in paths]
    built = preprocess_many(sources, "fuzz", config.with_({"runtime.in_process": False}))
    assert sorted(row["uri"] for row in built.sources) == sorted(source.uri for source in sources)
    assert all(row["reason"] for row in built.sources if row["status"] != "ok")
    died = [(row["uri"], row["reason"]) for row in built.sources if row["error_type"] == "WorkerDied"]
    assert not died
