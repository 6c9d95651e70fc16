"""The image, as far as it can be known without building it: its recipe, and the program run as the image runs it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.conftest import PROJECT

DOCKERFILE = (PROJECT / "infra" / "Dockerfile").read_text()
TOLD = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
USER = 10001
UNHURRIED_S = 280
Instruction = tuple[str, str]


def stages() -> dict[str, list[Instruction]]:
    """Stage → its instructions; those before the first FROM under ''."""
    lines = [line for line in DOCKERFILE.splitlines() if not line.lstrip().startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    found: dict[str, list[Instruction]] = {"": []}
    current = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            current = rest.rsplit(" AS ", 1)[1]
            found[current] = []
        found[current].append((word, rest))
    return found


STAGES = stages()


def lineage(stage: str) -> list[Instruction]:
    """All instructions of an image, those of what it is made from first."""
    base = STAGES[stage][0][1].rsplit(" AS ", 1)[0]
    return [*(lineage(base) if base in STAGES else ()), *STAGES[stage]]


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_it_runs_as_nobody_in_particular(target: str) -> None:
    steps = lineage(target)
    assert steps[-1] == ("USER", f"{USER}:{USER}"), "whatever follows the last USER would run as another"
    assert any(word == "RUN" and f"--uid {USER}" in rest for word, rest in steps)
    assert not any(word == "RUN" and ("sudo" in rest or "chmod 777" in rest) for word, rest in steps)


def test_its_bases_are_pinned() -> None:
    pinned = dict(rest.split("=", 1) for word, rest in STAGES[""] if word == "ARG")
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", pinned["PYTHON_IMAGE"])
    wanted = tuple(map(int, TOLD["requires-python"].removeprefix(">=").split(".")))
    assert tuple(map(int, re.findall(r"\d+", pinned["PYTHON_IMAGE"])[:2])) >= wanted
    for stage, steps in STAGES.items():
        if stage:
            base = steps[0][1].rsplit(" AS ", 1)[0]
            assert base in STAGES or base == "${PYTHON_IMAGE}"


def test_its_packages_are_the_projects() -> None:
    torch = next(line.partition("==")[2] for line in TOLD["dependencies"] if line.startswith("torch=="))
    assert ("ARG", f"TORCH={torch}") in STAGES["packages-cpu"]
    for stage in ("packages-cpu", "packages-cuda"):
        installed = " ".join(rest for word, rest in STAGES[stage] if word == "RUN")
        assert "--constraint infra/constraints.txt" in installed
        (extras,) = re.findall(r"--editable '\.\[([\w,]+)\]'", installed)
        assert set(extras.split(",")) <= set(TOLD["optional-dependencies"])


def test_what_it_copies_is_there_and_no_secret() -> None:
    ignored = set((PROJECT / ".dockerignore").read_text().splitlines())
    assert {".git", "infra/.env", "data", "**/*.pem", "**/*.key"} <= ignored
    for steps in STAGES.values():
        for word, rest in steps:
            assert word != "ADD"
            if word == "COPY" and not rest.startswith("--from"):
                assert all((PROJECT / source).exists() for source in rest.split()[:-1])
            if word in ("ENV", "ARG"):
                assert not re.search(r"PASSWORD|SECRET|TOKEN|ACCESS_KEY", rest)


def test_its_program_is_installed() -> None:
    entry = [json.loads(rest) for word, rest in lineage("cpu") if word == "ENTRYPOINT"]
    assert entry == [["tini", "--", "dubwright"]] and "dubwright" in TOLD["scripts"]
    packages = next(rest for word, rest in STAGES["base"] if word == "RUN")
    assert {"tini", "wget", "libgl1"} <= set(packages.split())


def image_environment(home: Path) -> dict[str, str]:
    """The variables that the image sets, over nothing of this machine's but where its programs are."""
    told = " ".join(rest for word, rest in lineage("cpu") if word == "ENV")
    values = dict(pair.split("=", 1) for pair in told.split())
    values |= {"DUBWRIGHT_CODE_REVISION": "an image", "HOME": str(home), "NUMBA_CACHE_DIR": str(home / "numba")}
    return {**values, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "TMPDIR": str(home)}


def as_nobody(
    words: list[str], folder: Path, data: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run words as the image's user. Where that one cannot reach this Python (it lies in root's home), as a root that
    has lost its powers: to it too, a file that may not be written to is one."""

    def run(command: list[str], **who: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=UNHURRIED_S, **who
        )

    if os.geteuid() != 0:
        return run(words)
    try:
        return run(words, user=USER, group=USER)
    except PermissionError:
        if shutil.which("setpriv") is None:
            pytest.skip("this Python cannot be run as another user, and setpriv is not installed")
        for path in (data, *data.parent.glob("home")):
            os.chown(path, 0, 0)
        return run(["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--", *words])


@pytest.mark.slow
@pytest.mark.parametrize("words", [("doctor",), ("metrics",), ("size",)], ids=lambda words: words[0])
def test_the_program_runs_as_in_the_image(words: tuple[str, ...], tmp_path: Path) -> None:
    """Another user, a tree that cannot be written to, an empty home, none of this machine's variables."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True)
    if tracked.returncode != 0:
        pytest.skip("no checkout: which files belong to the project is not known")
    tree, home, data = tmp_path / "opt", tmp_path / "home", tmp_path / "data"
    for name in filter(None, tracked.stdout.split("\0")):
        if not name.startswith(("tests/", "docs/")) and (PROJECT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, tree / name)
    for folder in (home, data):
        folder.mkdir()
    for folder in (home, data):
        os.chown(folder, *([USER, USER] if os.geteuid() == 0 else [-1, -1]))
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    for path in tree.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    done = as_nobody(
        [sys.executable, "-m", "flows.cli", "--root", str(data), *words, "--json"], tree, data,
        image_environment(home) | {"PYTHONPATH": str(tree)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["counts"]["ok"] > 0 and result["counts"]["failed"] == 0
    assert not list(tree.rglob("__pycache__"))


@pytest.mark.slow
def test_the_wheel_holds_all_that_the_packages_read(tmp_path: Path) -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True)
    if tracked.returncode != 0:
        pytest.skip("no checkout: which files belong to the project is not known")
    names = [name for name in tracked.stdout.split("\0") if name and (PROJECT / name).is_file()]
    for name in names:
        if not name.startswith("tests/"):
            (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, tmp_path / "tree" / name)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "-w", tmp_path, tmp_path / "tree"],
        check=True, timeout=UNHURRIED_S,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    wanted = {name for name in names if name.split("/")[0] in ("flows", "tasks", "models", "storage")}
    assert wanted - held == set()
    assert any(name.endswith("share/dubwright/params.yaml") for name in held)
    assert any(name.endswith("infra/profiles/sd15.yaml") for name in held)
