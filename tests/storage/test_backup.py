"""A root that is lost comes back from its backup, as it was."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from storage.backup import backup
from storage.backup_store import Store
from storage.catalog import Catalog
from storage.errors import InputFailed, LockHeld, NotFound, UsageError
from storage.layout import Root
from storage.ledger import Ledger
from storage.registry import Registry
from storage.restore import checked, restore
from storage.schema import CLIPS, RUNS, row
from storage.shards import read_rows
from storage.versions import catalogue_version, checkout_version, commit_version, list_versions, tag_version
from tests.storage.test_versions import clip, shards


def model(folder: Path, weights: bytes) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def write_run(root: Root, run_id: str) -> None:
    Catalog(root).upsert("runs", row(RUNS, run_id=run_id, command="dub", status="ok"))


@pytest.fixture
def full(built: Path, tmp_path: Path) -> Root:
    """A copy of `built` to work on."""
    return Root(shutil.copytree(built, tmp_path / "root"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with two versions of a dataset, two models of which the first is the champion, tags, runs, renders."""
    tmp_path = tmp_path_factory.mktemp("built")
    root = Root(tmp_path / "root").create()
    for number in (1, 2):
        rows = [clip(i) for i in range(2 * number)]
        version = commit_version(root, "talks", shards(tmp_path / f"rows{number}", rows), f"number {number}")
        Catalog(root).upsert("clips", [{n: v for n, v in r.items() if n in CLIPS.names} for r in rows])
        catalogue_version(root, f"talks@{version}")
    tag_version(root, "talks", "golden")
    ids = [
        Registry(root).register(model(tmp_path / "made" / str(n), b"%d" % n), "dub", metrics={"fid": n}) for n in (1, 2)
    ]
    Registry(root).promote(ids[1])
    Registry(root).promote(ids[0], "better")
    write_run(root, "one")
    Ledger(root.renders / "ledger.jsonl").record("a", "ok")
    (root.renders / "film.mp4").write_bytes(b"film")
    (root.local / "consent.csv").write_text("speaker,consent\nanna,yes\n")
    (root.local / "keys").mkdir(mode=0o700)
    (root.local / "keys" / "signer.pem").write_bytes(b"secret")
    (root.local / "keys" / "signer.pem").chmod(0o600)
    (root.runs / "one").mkdir()
    (root.runs / "one" / "config.json").write_text("{}")
    return root.local


def state(root: Root) -> dict[str, object]:
    """All that a user sees of a root."""
    catalog = Catalog(root)
    versions = {f"{v.dataset_id} {v.tags} {v.current}": list(map(str, read_rows(v.path))) for v in list_versions(root)}
    return {
        "rows": {table: sorted(map(str, catalog.rows(table))) for table in ("clips", "runs")},
        "tags": {table: catalog.tags(table) for table in ("clips", "runs")},
        "models": [(m["model_id"], m["version"], m["promoted"], m["metrics"]) for m in Registry(root).models()],
        "history": Registry(root).history("dub"), "versions": versions,
        "ledger": Ledger(root.renders / "ledger.jsonl").entries(),
        "consent": (root.local / "consent.csv").read_text(),
    }  # fmt: skip


@pytest.mark.parametrize("place", ["disk", "memory"])
def test_a_root_that_is_destroyed_comes_back(full: Root, tmp_path: Path, place: str) -> None:
    there = str(tmp_path / "backups") if place == "disk" else f"memory://bucket-{uuid4().hex}/backups"
    before = state(full)
    made = backup(full, there)
    assert made.left_out == [] and made.files > 10
    shutil.rmtree(full.local)
    back = restore(there, full)
    assert state(full) == before
    assert (back.name, back.models, back.rows["runs"]) == (made.name, 2, 1)
    tagged = next(tag for tag in Catalog(full).tags("clips") if tag.startswith("talks-"))
    assert Catalog(full).rows_at("clips", tagged)
    assert checkout_version(full, "talks@golden").restored == ()
    write_run(full, "two")  # it is worked on as before
    assert Catalog(full).count("runs") == 2
    more = commit_version(full, "talks", shards(tmp_path / "more", [clip(9)]), base="golden")
    assert len(list_versions(full)) == 3 and more != ""


def test_what_is_large_or_secret_only_when_asked_for(full: Root, tmp_path: Path) -> None:
    backup(full, str(tmp_path / "plain"))
    lean = restore(str(tmp_path / "plain"), Root(tmp_path / "lean"))
    assert not (tmp_path / "lean" / "keys").exists() and not (tmp_path / "lean" / "renders" / "film.mp4").exists()
    backup(full, str(tmp_path / "all"), ("keys", "renders"))
    assert restore(str(tmp_path / "all"), Root(tmp_path / "whole")).files == lean.files + 2
    assert (tmp_path / "whole" / "renders" / "film.mp4").read_bytes() == b"film"
    assert (tmp_path / "whole" / "keys" / "signer.pem").stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="no part films"):
        backup(full, str(tmp_path / "all"), ("films",))


def test_only_what_is_new_is_sent(full: Root, tmp_path: Path) -> None:
    there = str(tmp_path / "backups")
    first = backup(full, there)
    assert first.sent_files > 0
    again = backup(full, there)
    assert again.sent_files == 0 and again.files == first.files
    write_run(full, "two")
    third = backup(full, there)
    assert 0 < third.sent_files < 8
    assert Store(there).names() == [first.name, again.name, third.name]  # also when all were made in one second
    assert restore(there, Root(tmp_path / "old"), first.name).rows["runs"] == 1
    assert restore(there, Root(tmp_path / "new")).rows["runs"] == 2


def test_old_backups_go_and_what_they_share_stays(full: Root, tmp_path: Path) -> None:
    there = str(tmp_path / "backups")
    for number in range(3):
        write_run(full, f"more {number}")
        made = backup(full, there, keep=2)
    assert made.dropped == 1 and len(Store(there).names()) == 2
    for name in Store(there).names():
        assert restore(there, Root(tmp_path / name), name).models == 2


def test_a_backup_beside_writers_is_of_one_moment(full: Root, tmp_path: Path) -> None:
    ended, failures = threading.Event(), []

    def write() -> None:
        number = 0
        while not ended.is_set():
            try:
                write_run(full, f"busy {number}")
                made = Registry(full).register(model(tmp_path / "busy" / str(number), b"busy %d" % number), "dub")
                Registry(full).promote(made)
            except Exception as error:  # noqa: BLE001 - told below
                failures.append(error)
                return
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        names = [backup(full, str(tmp_path / "backups")).name for _ in range(3)]
    finally:
        ended.set()
        writer.join()
    assert not failures
    for name in names:
        there = Root(tmp_path / name)
        back = restore(str(tmp_path / "backups"), there, name)  # counts every table, verifies every model
        assert Registry(there).champion("dub") is not None
        assert back.rows["runs"] == len({entry["run_id"] for entry in Catalog(there).rows("runs")})


def damage(there: Path, change: Callable[[Path], None]) -> None:
    largest = max((path for path in (there / "objects").rglob("*") if path.is_file()), key=lambda p: p.stat().st_size)
    change(largest)


def flip(path: Path) -> None:
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(("change", "said"), [(flip, "not what was backed up"), (os.unlink, "missing")])
def test_a_damaged_backup_is_refused(full: Root, tmp_path: Path, change: Callable[[Path], None], said: str) -> None:
    backup(full, str(tmp_path / "backups"))
    damage(tmp_path / "backups", change)
    with pytest.raises(InputFailed, match=said):
        restore(str(tmp_path / "backups"), Root(tmp_path / "new"))


def test_an_interrupted_restore_goes_on(full: Root, tmp_path: Path) -> None:
    there = tmp_path / "backups"
    before = state(full)
    backup(full, str(there))
    shutil.copytree(there, tmp_path / "whole")
    damage(there, os.unlink)
    new = Root(tmp_path / "new")
    with pytest.raises(InputFailed):
        restore(str(there), new)
    restore(str(tmp_path / "whole"), new)
    assert state(new) == before


def test_nothing_is_written_over(full: Root, tmp_path: Path) -> None:
    backup(full, str(tmp_path / "backups"))
    with pytest.raises(UsageError, match="not empty"):
        restore(str(tmp_path / "backups"), full)
    with pytest.raises(UsageError, match="within the root"):
        backup(full, str(full.local / "backups"))
    with pytest.raises(NotFound, match="no backup"):
        restore(str(tmp_path / "nothing"), Root(tmp_path / "new"))


def test_a_backup_cannot_write_elsewhere(full: Root, tmp_path: Path) -> None:
    outside = ["../up", "/etc/passwd", "models/../../up", "models/./x", "other/x", ".dvc/config", "models/.hidden", "",
               "runs\\x", "models//x"]  # fmt: skip
    for path in outside:
        with pytest.raises(InputFailed, match="no place within a root"):
            checked(path)
    there = tmp_path / "backups"
    backup(full, str(there))
    (note,) = (there / "backups").iterdir()
    held = json.loads(note.read_text())
    held["files"]["../up"] = next(iter(held["files"].values()))
    note.write_text(json.dumps(held))
    with pytest.raises(InputFailed, match="no place within a root"):
        restore(str(there), Root(tmp_path / "new"))
    assert not (tmp_path / "new").exists() and not (tmp_path / "up").exists()


def test_two_backups_at_once_into_one_place(full: Root, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "backups"))
    with store.lease():
        lease = Store(str(tmp_path / "backups")).lease()
        lease._patience_s = 0.2
        with pytest.raises(LockHeld), lease:
            pass
    assert fsspec.filesystem("file").ls(str(tmp_path / "backups")) == []
