"""Each guard is taken out, one at a time, of a copy of the project: the test that stands for it must then fail.

``DUBWRIGHT_GUARDS=quick`` tries all whose tests take seconds, ``all`` also those that start servers; by default a few.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.security.guards import GUARDS

FEW = 3
_SHARED = ("models/packs", "tasks/studio/library")
"""Large, and changed by no guard: linked, not copied."""


def chosen() -> list[str]:
    """Names of the guards to try, by DUBWRIGHT_GUARDS: quick, all, a part of a name, or nothing for a few."""
    wanted = os.environ.get("DUBWRIGHT_GUARDS", "")
    quick = [name for name, guard in GUARDS.items() if not guard.slow]
    return {"": quick[:: len(quick) // FEW], "quick": quick, "all": list(GUARDS)}.get(
        wanted, [name for name in GUARDS if wanted in name]
    )


def _not_copied(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name == "__pycache__" or Path(folder, name) in [PROJECT / s for s in _SHARED]]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's code and tests, to be changed."""
    place = tmp_path_factory.mktemp("copy")
    for name in ("flows", "tasks", "models", "storage", "tests", "infra"):
        shutil.copytree(PROJECT / name, place / name, ignore=_not_copied)
    for name in ("params.yaml", "pyproject.toml"):
        shutil.copy(PROJECT / name, place / name)
    for shared in _SHARED:
        (place / shared).symlink_to(PROJECT / shared)
    return place


def test_every_guard_stands_where_it_is_said_to() -> None:
    for name, guard in GUARDS.items():
        assert (PROJECT / guard.file).read_text().count(guard.text) >= 1, name
        file, _, test = guard.test.partition("::")
        assert f"def {test.partition('[')[0]}(" in (PROJECT / "tests" / "security" / file).read_text(), name


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_without_a_guard_its_test_fails(copy: Path) -> None:
    names = chosen()
    cases = [
        [guard.file, guard.text, guard.without, guard.test, 900 if guard.slow else 120]
        for guard in (GUARDS[name] for name in names)
    ]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("without.py")), str(copy), json.dumps(cases)],
        capture_output=True, text=True, timeout=7000, env=environment,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    codes = json.loads(ran.stdout)
    assert {name: code for name, code in zip(names, codes, strict=True) if code != 1} == {}
