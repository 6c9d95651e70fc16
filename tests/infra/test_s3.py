"""An object store as S3 speaks: what a lease and the mirrors of a root need of it."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from uuid import uuid4

import pytest

from storage.catalog import Catalog
from storage.layout import Root
from storage.lease import Lease
from storage.mirror import bring, publish
from storage.schema import RUNS, row

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def store(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)


def test_one_of_eight_at_once_gets_the_lease() -> None:
    root = Root(f"s3://dubwright-test/{uuid4().hex}")
    filesystem, base = root.remote()
    inside, most = [0], [0]

    def work() -> None:
        with Lease(filesystem, f"{base}/.leases/x"):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.05)
            inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert not filesystem.exists(f"{base}/.leases/x")


def test_a_catalog_in_s3_is_seen_by_the_next_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"s3://dubwright-test/{uuid4().hex}"
    names = {}
    for machine in ("a", "b", "c"):
        monkeypatch.setenv("DUBWRIGHT_MIRROR", str(tmp_path / machine))
        names[machine] = Root(uri).create()
    for machine in ("a", "b"):
        Catalog(names[machine]).upsert("runs", row(RUNS, run_id=machine, command="dub", status="ok"))
    publish(names["a"])
    publish(names["b"])
    bring(names["c"])
    assert {entry["run_id"] for entry in Catalog(names["c"]).rows("runs")} == {"a", "b"}
