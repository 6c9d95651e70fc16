"""A file says that it is synthetic and where it comes from, and the chain can be followed to the sources."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from storage import media
from storage.catalog import Catalog
from storage.descent import descent
from storage.errors import NotFound
from storage.provenance import SENTENCE, lineage, read_stamp, stamp
from storage.registry import Registry
from storage.schema import CLIPS
from storage.shards import ShardWriter
from storage.versions import commit_version
from tests.storage.footage import make, picture
from tests.storage.test_registry import model

FACTS = {"render_id": "r1", "model_id": "m1", "seed": 7, "source_sha256": "ä" * 10, "caption": None}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_the_stamp_is_in_the_file(tmp_path: Path, suffix: str) -> None:
    path = media.write_video(tmp_path / f"a{suffix}", [picture(0)] * 3, 25, metadata=stamp(FACTS))
    assert read_stamp(path) == {
        "generator": "dubwright", "synthetic": True, "render_id": "r1", "model_id": "m1", "seed": 7,
        "source_sha256": "ä" * 10,
    }  # fmt: skip
    tags = {name.lower(): value for name, value in media.probe(path).metadata.items()}
    assert tags.get("description", SENTENCE) == SENTENCE
    assert ("description" in tags) == (suffix != ".mov")  # mov has no place for it


def test_the_sources_own_words_survive(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", frames=3, tags={"comment": "shot in Ulm", "description": "A talk", "title": "T"})
    assert read_stamp(source) is None
    out = tmp_path / "out.mp4"
    media.rewrite_video(source, out, None, metadata=stamp(FACTS, media.probe(source).metadata))
    assert read_stamp(out)["source_comment"] == "shot in Ulm"
    tags = media.probe(out).metadata
    assert (tags["description"], tags["title"]) == ("A talk", "T")
    again = stamp({"render_id": "r2"}, tags)
    assert "source_comment" not in again["comment"]


def test_nobody_talks_a_stamp_out_of_being_synthetic() -> None:
    assert '"synthetic": true' in stamp({"synthetic": False})["comment"]


def assert_nothing_else_was_made(root: Path, child: str, parent: str, dataset_id: str) -> None:
    """The same chain downwards, from each of its links."""
    grandchild = Registry(root).register(model(root.parent / "g", 3), "other", parent=child)
    Catalog(root).upsert(
        "renders",
        [
            {"render_id": "r3", "model_id": grandchild, "status": "ok"},
            {"render_id": "r4", "model_id": parent, "status": "ok", "source_sha256": "f" * 64},
            {"render_id": "r5", "model_id": parent, "status": "ok"},
        ],
    )

    def made(origin: str) -> tuple[list[str], list[str], list[tuple[str, str]]]:
        found = descent(root, origin)
        assert found["missing"] == []
        return (
            [entry["dataset_id"] for entry in found["datasets"]],
            sorted(entry["model_id"] for entry in found["models"]),
            sorted((entry["render_id"], entry["through"]) for entry in found["renders"]),
        )

    trained, shown = sorted([child, grandchild]), [("r1", "model"), ("r3", "model")]
    assert made("s1") == made("/films/1.mp4") == ([dataset_id], trained, [*shown, ("r4", "source")])
    assert descent(root, "s1")["datasets"] == [{"dataset_id": dataset_id, "clips": 2}]
    assert made(dataset_id) == ([dataset_id], trained, shown)
    assert made(child) == ([], trained, shown)
    assert made(parent)[2] == sorted([*shown, ("r4", "model"), ("r5", "model")])
    with pytest.raises(NotFound, match="no source, dataset or model"):
        descent(root, "nothing")


@pytest.mark.slow
def test_the_chain_from_a_file_to_its_sources(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with ShardWriter(tmp_path / "rows", CLIPS) as writer:
        for i in range(4):
            writer.write(
                {"clip_id": f"c{i}", "status": "ok" if i else "failed", "source_id": f"s{i % 2}",
                 "source_uri": f"{i % 2}.mp4", "licence": "CC0", "consent": "yes"}
            )  # fmt: skip
    dataset_id = "talks@" + commit_version(root, "talks", tmp_path / "rows")
    registry, catalog = Registry(root), Catalog(root)
    parent = registry.register(model(tmp_path / "p", 1), "dub")
    child = registry.register(model(tmp_path / "c", 2), "dub", parent=parent, dataset_id=dataset_id)
    catalog.upsert("sources", {"source_id": "s1", "uri": "/films/1.mp4", "sha256": "f" * 64, "status": "ok"})
    catalog.upsert("renders", {"render_id": "r1", "model_id": child, "dataset_id": dataset_id, "status": "ok"})
    file = media.write_video(
        tmp_path / "a.mp4", [picture(0)], 25, np.zeros(100, np.float32), metadata=stamp({"render_id": "r1"})
    )

    for question in ("r1", str(file)):
        chain = lineage(root, question)
        assert chain["model"]["model_id"] == child
        assert [entry["model_id"] for entry in chain["ancestors"]] == [parent]
        assert chain["dataset"]["dataset_id"] == dataset_id
        assert chain["clips"] == 3
        assert [(s["source_id"], s["uri"], s["clips"], s["licence"]) for s in chain["sources"]] == [
            ("s1", "/films/1.mp4", 2, "CC0"), ("s0", "0.mp4", 1, "CC0"),
        ]  # fmt: skip
        assert chain["missing"] == []

    catalog.upsert("renders", {"render_id": "r2", "model_id": "gone", "dataset_id": "lost@1234", "status": "ok"})
    broken = lineage(root, "r2")
    assert_nothing_else_was_made(root, child, parent, dataset_id)
    assert broken["model"] is None
    assert len(broken["missing"]) == 2
    with pytest.raises(NotFound):
        lineage(root, "r9")
