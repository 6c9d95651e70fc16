"""Names become files and folders: of datasets, tags, models, and of what another machine's root says they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from storage.errors import InputFailed, UsageError
from storage.layout import Root
from storage.names import LONGEST, check_name
from storage.registry import Registry
from storage.schema import CLIPS, row
from storage.shards import ShardWriter
from storage.version_refs import list_versions, show_version
from storage.versions import checkout_version, commit_version, tag_version
from tasks.champion import SHIPPED

OUTSIDE = (
    "../escape",
    "/etc/escape",
    "a/b",
    "..",
    ".hidden",
    "-rf",
    "",
    "a\0b",
    "a\nb",
    "x" * (LONGEST + 1),
    "a b",
    "$HOME",
)


@pytest.fixture
def dataset(root: Root, tmp_path: Path) -> str:
    with ShardWriter(tmp_path / "shards", CLIPS) as writer:
        writer.write(row(CLIPS, clip_id="0" * 20, status="ok"))
    return commit_version(root, "faces", tmp_path / "shards")


def test_no_name_leads_out_of_the_root(root: Root, tmp_path: Path, dataset: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    uses = (
        check_name,
        lambda name: commit_version(root, name, tmp_path / "shards"),
        lambda name: tag_version(root, "faces", name),
        lambda name: Registry(root).register(SHIPPED["studio"], name),
    )
    for name in OUTSIDE:
        for use in uses:
            with pytest.raises(UsageError):
                use(name)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dataset_elsewhere_is_not_looked_at(root: Root) -> None:
    elsewhere = root.datasets.parent / "elsewhere"
    elsewhere.mkdir()
    refs = {"current": "abcd1234", "history": ["abcd1234"], "tags": {}}
    (elsewhere / "refs.json").write_text(json.dumps(refs))
    name = "../elsewhere"
    for look in (
        lambda: show_version(root, name),
        lambda: checkout_version(root, f"{name}@abcd"),
        lambda: list_versions(root, name),
        lambda: tag_version(root, f"{name}@abcd", "mine"),
    ):
        with pytest.raises(UsageError, match="cannot be a name"):
            look()
    assert json.loads((elsewhere / "refs.json").read_text()) == refs


def test_a_root_of_somebody_else_cannot_name_a_version_elsewhere(root: Root, dataset: str) -> None:
    place = root.datasets / "faces" / "refs.json"
    told = json.loads(place.read_text())
    wrong = {"current": "../../x", "history": [dataset, "../../x"], "tags": {"good": "../../x"}}
    for where, value in wrong.items():
        place.write_text(json.dumps({**told, where: value}))
        with pytest.raises(InputFailed, match="cannot be"):
            show_version(root, f"faces@{'good' if where == 'tags' else dataset}")


def test_a_row_of_the_registry_cannot_lead_out_of_it(root: Root, tmp_path: Path) -> None:
    registry = Registry(root)
    model = registry.register(SHIPPED["studio"], "studio")
    place = root.models / f"{model}.json"
    for path in ("../outside", str(tmp_path), "models/../../outside"):
        place.write_text(json.dumps({**json.loads(place.read_text()), "path": path}))
        with pytest.raises(InputFailed, match="says that its model lies at"):
            registry.path(model)
