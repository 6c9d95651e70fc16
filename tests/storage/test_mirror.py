"""A root in an object store, worked on by several machines: each is a mirror of its own."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from storage.catalog import Catalog
from storage.errors import DubwrightError, LockHeld
from storage.layout import Root
from storage.lease import Lease
from storage.ledger import Ledger
from storage.mirror import bring, publish
from storage.registry import Registry
from storage.schema import RUNS, row

Machine = Callable[[str], Root]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """``machine("a")``: one store, seen from the mirror of machine a."""
    uri = f"memory://bucket-{uuid4().hex}/data"

    def of(name: str) -> Root:
        monkeypatch.setenv("DUBWRIGHT_MIRROR", str(tmp_path / name))
        return Root(uri).create()

    return of


def write_run(root: Root, run_id: str, seconds: float = 1.0) -> None:
    Catalog(root).upsert("runs", row(RUNS, run_id=run_id, command="dub", status="ok", seconds=seconds))


def runs(root: Root) -> dict[str, float]:
    return {entry["run_id"]: entry["seconds"] for entry in Catalog(root).rows("runs")}


def model(folder: Path, weights: bytes) -> Path:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_a_catalog_reaches_an_empty_mirror_and_comes_back(machine: Machine) -> None:
    here = machine("a")
    write_run(here, "one")
    publish(here)
    there = machine("b")
    bring(there)
    assert runs(there) == {"one": 1.0}
    write_run(there, "two")
    write_run(there, "one", 2.0)
    publish(there)
    bring(here)
    assert runs(here) == {"one": 2.0, "two": 1.0}


def test_rows_of_two_machines_that_wrote_at_once_all_stay(machine: Machine) -> None:
    here, there = machine("a"), machine("b")
    write_run(here, "start")
    publish(here)
    bring(there)
    write_run(here, "of a")
    write_run(there, "of b")
    write_run(there, "start", 5.0)
    publish(here)
    publish(there)
    bring(here)
    assert runs(here) == runs(there) == {"start": 5.0, "of a": 1.0, "of b": 1.0}
    assert runs(machine("c")) == {}
    third = machine("c")
    bring(third)
    assert runs(third) == runs(here)


def test_nothing_is_sent_again_that_did_not_change(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine("a")
    write_run(here, "one")
    (here.renders / "film.mp4").write_bytes(b"film")
    publish(here)
    filesystem, base = here.remote()
    assert filesystem.cat_file(f"{base}/renders/film.mp4") == b"film"
    sent = []
    for name in ("put_file", "pipe_file", "rm_file"):  # not even a lease is written: a reader may have no leave to
        monkeypatch.setattr(filesystem, name, lambda *given, **more: sent.append(given))
    bring(here)
    publish(here)
    assert sent == []


def test_the_ledger_of_renders_is_joined(machine: Machine) -> None:
    here, there, empty = machine("a"), machine("b"), machine("c")
    for root, name in ((here, "of a"), (there, "of b")):
        Ledger(root.renders / "ledger.jsonl").record(name, "ok")
        publish(root)
    for root in (here, empty):
        bring(root)
    for root in (here, there, empty):
        assert {entry["id"] for entry in Ledger(root.renders / "ledger.jsonl").entries()} == {"of a", "of b"}


def test_a_promotion_is_seen_by_all_machines(machine: Machine, tmp_path: Path) -> None:
    here, there = machine("a"), machine("b")
    first = Registry(here).register(model(tmp_path / "first", b"1"), "dub")
    second = Registry(here).register(model(tmp_path / "second", b"2"), "dub")
    Registry(here).promote(first)
    assert (Registry(there).champion("dub") or {})["model_id"] == first
    Registry(here).promote(second)
    assert (Registry(there).champion("dub") or {})["model_id"] == second
    assert Registry(there).register(model(tmp_path / "third", b"3"), "dub")
    assert [entry["version"] for entry in Registry(here).models("dub")] == [1, 2, 3]
    Registry(there).verify(second)
    assert Registry(there).rollback("dub") == first == Registry(here).champion("dub")["model_id"]


def test_a_lease_has_one_holder_and_outlives_nobody() -> None:
    filesystem, path = fsspec.filesystem("memory"), f"bucket-{uuid4().hex}/lease"
    with Lease(filesystem, path), pytest.raises(LockHeld, match="process"), Lease(filesystem, path, patience_s=0.5):
        pass
    assert not filesystem.exists(path)
    dead = {"token": "gone", "host": "elsewhere", "pid": 1, "until": time.time() - 1}
    filesystem.pipe_file(path, json.dumps(dead).encode())
    with Lease(filesystem, path, patience_s=0.5):
        assert json.loads(filesystem.cat_file(path))["token"] != "gone"


def test_a_lease_is_renewed_while_it_is_held() -> None:
    filesystem, path = fsspec.filesystem("memory"), f"bucket-{uuid4().hex}/lease"
    with Lease(filesystem, path, term_s=0.6):
        time.sleep(1.2)
        with pytest.raises(LockHeld), Lease(filesystem, path, patience_s=0.3):
            pass


def test_eight_at_once_take_a_lease_in_turn() -> None:
    filesystem, path = fsspec.filesystem("memory"), f"bucket-{uuid4().hex}/lease"
    inside, most, failures = [0], [0], []

    def work() -> None:
        try:
            with Lease(filesystem, path):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.02)
                inside[0] -= 1
        except BaseException as error:  # noqa: BLE001 - told by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and most == [1]


def test_a_store_that_does_not_answer_is_told(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine("a")
    filesystem, _ = here.remote()

    def gone(*given: object, **more: object) -> None:
        raise TimeoutError("no route")

    monkeypatch.setattr(filesystem, "find", gone)
    with pytest.raises(DubwrightError, match=r"does not answer \(no route\)"):
        bring(here)
