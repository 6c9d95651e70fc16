"""One root, local or remote."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from storage.errors import ConfigError
from storage.layout import Root


def test_local(tmp_path: Path) -> None:
    root = Root(tmp_path / "data").create()
    assert Root(root).local == root.local == tmp_path / "data"
    assert Root(f"file://{tmp_path}/data").local == root.local
    for folder in (root.datasets, root.models, root.renders, root.runs, root.catalog, root.cache):
        assert folder.is_dir()
    assert root.relative(root.renders / "a.mp4") == "renders/a.mp4"
    assert root.resolve("renders/a.mp4") == root.renders / "a.mp4"
    assert root.relative("/elsewhere/a.mp4") == "/elsewhere/a.mp4"
    assert root.resolve("/elsewhere/a.mp4") == Path("/elsewhere/a.mp4")


def test_a_root_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be created"):
        Root(tmp_path / "file").create()


def test_remote_is_worked_on_in_a_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"memory://bucket-{uuid4().hex}/data"
    monkeypatch.setenv("DUBWRIGHT_MIRROR", str(tmp_path / "here"))
    here = Root(uri).create()
    (here.models / "m").mkdir()
    (here.models / "m" / "a.safetensors").write_bytes(b"weights")
    (here.models / "m" / ".x.partial").write_bytes(b"half")
    here.push(here.models / "m")

    monkeypatch.setenv("DUBWRIGHT_MIRROR", str(tmp_path / "there"))
    there = Root(uri)
    assert there.local != here.local
    folder = there.pull(there.models / "m")
    assert [path.name for path in folder.iterdir()] == ["a.safetensors"]
    assert (folder / "a.safetensors").read_bytes() == b"weights"


def test_a_kind_of_store_that_is_not_known() -> None:
    with pytest.raises(ConfigError, match="nosuchscheme"):
        Root("nosuchscheme://bucket/data")
