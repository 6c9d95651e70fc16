"""One cluster of three nodes: what it makes, when nodes die under it, and which nodes it does not take in."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage import media
from storage.atomic import FileLock
from storage.layout import Root
from tasks.cluster_nodes import expected, faults, folders_of, versions
from tasks.config import Config
from tasks.jobs import Job
from tasks.library_run import dub_many
from tasks.preprocess import preprocess_many
from tasks.probe import find_sources
from tasks.sealing import configured_certificate
from tests.conftest import PROJECT
from tests.tasks.ray_nodes import SOON, Nodes

FILMS = 3
SHORT = {"preprocess.min_clip_s": 0.4, "preprocess.drop_duplicates": False, "render.stretch_windows": 1}
PATIENCE_S = 900.0


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Three, of which Ray misses one that dies after two seconds."""
    found = Nodes(tmp_path_factory.mktemp("ray"), 3, **SOON, RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S="1")
    yield found
    found.stop()


@pytest.fixture(scope="module")
def footage(talking: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of films that differ in a corner of the picture."""
    folder = tmp_path_factory.mktemp("footage")
    frames = [frame for _, _, frame in media.iter_frames(talking)][:20]
    sound = media.read_audio(talking, 16000)[: 20 * 640]
    for number in range(FILMS):
        marked = [frame.copy() for frame in frames]
        for frame in marked:
            frame[:16, :16] = 60 * number
        media.write_video(folder / f"{number}.mp4", marked, 25, sound)
    return folder


class Driver:
    """A run on the cluster, in a process of its own."""

    def __init__(self, config: Config, **told: Any) -> None:
        self.log = Path(config.root).with_suffix(".log")
        self.log.touch()
        given = json.dumps({"config": config.model_dump(mode="json"), **told})
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.tasks.ray_driver", given], cwd=PROJECT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "RAY_AUTH_MODE": "disabled"},
        )  # fmt: skip

    def wait_for(self, what: str, but: Sequence[str] = ()) -> str:
        """The node that notes this first, of all but those."""
        deadline = time.monotonic() + PATIENCE_S
        while self._process.poll() is None and time.monotonic() < deadline:
            for node, work in (line.split() for line in self.log.read_text().splitlines()):
                if work == what and node not in but:
                    return node
            time.sleep(0.02)
        raise AssertionError(f"no node came to {what}: {self.log.read_text()}")

    def nodes(self) -> set[str]:
        """Those at work so far."""
        return {line.split()[0] for line in self.log.read_text().splitlines()}

    def result(self) -> dict[str, Any]:
        out, said = self._process.communicate(timeout=PATIENCE_S)
        answers = [line for line in out.splitlines() if line.startswith("{")]  # Ray speaks of lost nodes there too
        assert self._process.returncode == 0 and answers, said[-3000:]
        told: dict[str, Any] = json.loads(answers[-1])
        return told


def library(footage: Path, track: Path) -> list[Job]:
    return [
        Job(str(film), str(track), "happy" if number else None, None, f"{number}.mp4", True)
        for number, film in enumerate(sorted(footage.iterdir()))
    ]


def given(footage: Path, track: Path, model: Path) -> dict[str, Any]:
    """What a driver is told."""
    jobs = [job.__dict__ for job in library(footage, track)]
    return {"footage": str(footage), "jobs": jobs, "model": str(model)}


def dataset_files(config: Config, version: str) -> dict[str, bytes]:
    folder = Root(config.root).datasets / "set"
    found = {str(path.relative_to(folder)): path.read_bytes() for path in (folder / version).rglob("*.parquet")}
    assert found
    return found


def renders(config: Config) -> dict[str, bytes]:
    folder = Root(config.root).renders
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.mp4")}


@pytest.fixture
def roots(config: Config, nodes: Nodes) -> Callable[[str], Config]:
    """Roots with one certificate: "quiet" works in this process, all others on the cluster."""
    configured_certificate(config)

    def made(name: str) -> Config:
        root = Path(config.root).parent / name
        shutil.copytree(Path(config.root) / "keys", root / "keys")
        here = {"runtime.in_process": True} if name == "quiet" else {
            "runtime.in_process": False, "runtime.ray": nodes.address, "runtime.actors": 2}  # fmt: skip
        return config.with_(SHORT | here | {"root": str(root)})

    return made


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_three_nodes_make_what_one_makes_also_when_nodes_die(
    roots: Callable[[str], Config], nodes: Nodes, footage: Path, track: Path, tiny_model: Path
) -> None:
    """One dies in the middle of each of two jobs; with DUBWRIGHT_NODES=3, first none, and then a third."""
    quiet, told = roots("quiet"), given(footage, track, tiny_model)
    version = preprocess_many(find_sources([footage]), "set", quiet).version
    rows = dub_many(library(footage, track), tiny_model, quiet, model_id="tiny")
    done = {"version": version, "statuses": ["ok"] * FILMS}
    assert [row["status"] for row in rows] == done["statuses"]
    thorough = os.environ.get("DUBWRIGHT_NODES") == "3"

    if thorough:
        three = roots("three")
        undisturbed = Driver(three, **told)
        assert undisturbed.result() == done
        assert dataset_files(three, version) == dataset_files(quiet, version)
        assert renders(three) == renders(quiet)
        assert len(undisturbed.nodes()) >= 2

    dying = roots("dying")
    run = Driver(dying, **told)
    killed = [nodes.ids.index(run.wait_for("source"))]
    nodes.kill(killed[0])
    killed.append(nodes.ids.index(run.wait_for("stretch")))
    nodes.kill(killed[1], signal.SIGTERM)  # taken back with notice
    if thorough:
        nodes.add()
        killed.append(nodes.ids.index(run.wait_for("stretch", but=[nodes.ids[number] for number in killed])))
        nodes.kill(killed[2])
    assert len(set(killed)) == len(killed)
    assert run.result() == done
    assert dataset_files(dying, version) == dataset_files(quiet, version)
    assert renders(dying) == renders(quiet)


def test_a_node_like_this_one_may_take_part(config: Config) -> None:
    wanted = expected(Root(config.root).create())
    assert faults(wanted, [config.root]) == []
    assert list(versions())[:2] == ["Python", "dubwright"]


@pytest.mark.parametrize("name", ["Python", "dubwright", "torch"])
def test_a_node_with_other_code_is_refused(config: Config, name: str) -> None:
    wanted = expected(Root(config.root).create())
    ((wrong, remedy),) = faults(replace(wanted, facts=wanted.facts | {name: "0.0"}))
    assert wrong.startswith(f"runs {name} ") and wrong.endswith("the driver runs 0.0")
    assert "same image" in remedy


def test_a_node_that_sees_another_root_is_refused(config: Config, tmp_path: Path) -> None:
    wanted = expected(Root(config.root).create())
    ((wrong, remedy),) = faults(replace(wanted, seal=str(tmp_path / "elsewhere")), patience_s=0)
    assert f"does not see the root {config.root}" in wrong and "storage" in remedy
    ((wrong, _),) = faults(wanted, [str(tmp_path), "/no/such/folder", "/nor/this"])
    assert wrong == "does not see /no/such/folder nor 1 others"


def test_a_node_where_locks_of_others_do_not_count_is_refused(config: Config, tmp_path: Path) -> None:
    wanted = expected(Root(config.root).create())
    unlocked = tmp_path / "seal"  # as the driver's file looks through a mount without locks
    unlocked.touch()
    ((wrong, remedy),) = faults(replace(wanted, seal=str(unlocked)))
    assert "takes no notice of locks" in wrong and "NFS" in remedy
    with FileLock(unlocked):
        assert faults(replace(wanted, seal=str(unlocked))) == []


def test_folders_that_are_yet_to_come_count_as_far_as_they_exist(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    paths = [tmp_path / "there/a.mp4", tmp_path / "there/b.mp4", tmp_path / "not/yet/c.mp4", "s3://bucket/d.mp4"]
    assert folders_of(paths) == [str(tmp_path / "there"), str(tmp_path)]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_node_without_the_root_is_named_before_work_begins(
    roots: Callable[[str], Config], nodes: Nodes, footage: Path, track: Path, tiny_model: Path
) -> None:
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("mount namespaces are not allowed here: no node can be made that sees other files")
    config = roots("unseen")
    hidden = f'mount -t tmpfs none {config.root} && exec "$@"'
    nodes.add(before=("unshare", "-m", "sh", "-c", hidden, "sh"))
    told = Driver(config, **given(footage, track, tiny_model)).result()
    nodes.kill(len(nodes.ids) - 1)
    assert told["code"] == 2
    assert told["error"].startswith("node ")
    assert f"does not see the root {config.root} of this run" in told["error"]
    assert not (Path(config.root) / "datasets" / "set").exists()


@pytest.mark.slow
def test_no_cluster_there_is_said_in_one_sentence(config: Config, footage: Path, track: Path, tiny_model: Path) -> None:
    nowhere = config.with_({"runtime.in_process": False, "runtime.ray": "127.0.0.1:9"})
    told = Driver(nowhere, **given(footage, track, tiny_model)).result()
    assert told["code"] == 2
    assert "the Ray cluster at 127.0.0.1:9 cannot be joined" in told["error"]
