"""The catalog: one row per key, however many write; found by value, words, text meaning and face."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from storage.catalog import Catalog
from storage.catalog_indexes import Upkeep
from storage.errors import NotFound, UsageError


def unit(*values: float) -> np.ndarray:
    vector = np.array(values, dtype=np.float32)
    return vector / np.linalg.norm(vector)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    catalog = Catalog(tmp_path_factory.mktemp("root"))
    catalog.upsert(
        "clips",
        [
            {"clip_id": "happy1", "status": "ok", "caption": "a very happy speaker", "sync_confidence": 6.0,
             "caption_embedding": unit(1, 0, 0), "identity": unit(1, 0), "crops": [b"jpeg"]},
            {"clip_id": "happy2", "status": "ok", "caption": "smiling, slightly happy", "sync_confidence": 2.0,
             "caption_embedding": unit(0.9, 0.2, 0), "identity": unit(0, 1)},
            {"clip_id": "sad1", "status": "ok", "caption": "deeply sad", "sync_confidence": 5.0,
             "caption_embedding": unit(0, 1, 0), "identity": unit(0.9, 0.1)},
            {"clip_id": "bad1", "status": "rejected", "reason": "no face", "value": 0.0},
        ],
    )  # fmt: skip
    return catalog


def ids(rows: list[dict[str, object]]) -> list[object]:
    return [entry["clip_id"] for entry in rows]


def test_rows_by_value(filled: Catalog) -> None:
    assert sorted(ids(filled.rows("clips"))) == ["bad1", "happy1", "happy2", "sad1"]
    assert ids(filled.rows("clips", "sync_confidence > 5.5")) == ["happy1"]
    assert len(filled.rows("clips", limit=2)) == 2
    assert filled.rows("clips", limit=0) == []
    assert filled.count("clips", "status = 'ok'") == 3
    first = filled.get("clips", "happy1")
    assert first is not None
    assert {entry["clip_id"] for entry in filled.each("clips", "status = 'ok'", ["clip_id"])} == {
        "happy1",
        "happy2",
        "sad1",
    }
    assert list(filled.each("renders", "status = 'ok'", ["render_id"])) == []
    assert "crops" not in first
    assert first["caption_embedding"] == pytest.approx([1, 0, 0])
    assert filled.rows("clips", columns=["clip_id"])[0].keys() == {"clip_id"}


def test_get_by_the_beginning(filled: Catalog) -> None:
    assert filled.get("clips", "sa")["clip_id"] == "sad1"
    assert filled.get("clips", "happy") is None
    assert filled.get("clips", "nobody") is None
    assert filled.get("clips", "it's") is None


def test_search_by_meaning_face_and_words(filled: Catalog) -> None:
    assert ids(filled.search("clips", vector=unit(0.1, 1, 0), limit=3)) == ["sad1", "happy2", "happy1"]
    scores = [entry["_score"] for entry in filled.search("clips", vector=unit(0.1, 1, 0), limit=3)]
    assert scores == sorted(scores, reverse=True)
    assert ids(filled.search("clips", text="deeply happy smiling")) == ["happy2", "sad1", "happy1"]
    near = filled.search("clips", vector=unit(1, 0.05, 0), limit=3)
    assert ids(near) == ["happy1", "happy2", "sad1"]
    assert near[0]["_score"] == pytest.approx(float(unit(1, 0.05, 0) @ unit(1, 0, 0)), abs=1e-4)
    assert ids(filled.search("clips", vector=unit(1, 0), column="identity", limit=2)) == ["happy1", "sad1"]
    assert ids(filled.search("clips", vector=unit(1, 0, 0), where="sync_confidence < 5.5")) == ["happy2", "sad1"]
    assert set(ids(filled.search("clips", text="happy"))) == {"happy1", "happy2"}
    assert ids(filled.search("clips", text="happy", where="sync_confidence > 5")) == ["happy1"]
    filled.upsert("clips", {"clip_id": "later", "status": "ok", "caption": "furious"})
    assert ids(filled.search("clips", text="furious")) == ["later"]
    filled.delete("clips", "clip_id = 'later'")
    assert ids(filled.search("clips", text="furious")) == []


def test_wrong_questions_are_answered_with_what_is_right(filled: Catalog) -> None:
    filled.upsert("runs", {"run_id": "r", "status": "running"})
    with pytest.raises(UsageError, match="sources, clips, steps, renders"):
        filled.rows("films")
    with pytest.raises(UsageError, match="nonsense"):
        filled.rows("clips", "nonsense = 3")
    with pytest.raises(UsageError, match="vectors of 3 numbers"):
        filled.search("clips", vector=[1.0, 0.0])
    with pytest.raises(UsageError, match="not by both"):
        filled.search("clips", vector=[1.0], text="a")
    with pytest.raises(UsageError, match="no text"):
        filled.search("runs", text="a")
    with pytest.raises(UsageError, match="no clip_id"):
        filled.upsert("clips", {"status": "ok"})
    with pytest.raises(KeyError, match="colour"):
        filled.upsert("clips", {"clip_id": "x", "colour": 1})


def test_rows_without_a_vector_stand_beside_rows_with_one(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    face = [1.0] + [0.0] * 511
    left_out = [{"clip_id": f"left out {number}"} for number in range(6)]
    catalog.upsert("clips", [{"clip_id": "measured", "identity": face}, *left_out])
    catalog.upsert("clips", {"clip_id": "later"})
    assert catalog.count("clips") == 8
    assert ids(catalog.search("clips", vector=face, column="identity")) == ["measured"]


def test_an_empty_catalog_has_no_rows(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    assert catalog.rows("clips") == []
    assert catalog.search("clips", vector=[1.0]) == []
    assert catalog.count("renders") == 0
    assert catalog.version("clips") == 0
    assert catalog.tags("clips") == {}
    assert catalog.upsert("clips", []) == 0
    with pytest.raises(NotFound):
        catalog.tag("clips", "a")


def test_a_rerun_replaces_rows_and_versions_keep_the_old_ones(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    catalog.upsert(
        "renders", [{"render_id": "a", "status": "failed", "reason": "x"}, {"render_id": "a", "status": "ok"}]
    )
    assert [entry["status"] for entry in catalog.rows("renders")] == ["ok"]
    tagged = catalog.tag("renders", "before")
    catalog.upsert("renders", [{"render_id": "a", "status": "rejected"}, {"render_id": "b", "status": "ok"}])
    assert sorted(entry["status"] for entry in catalog.rows("renders")) == ["ok", "rejected"]
    assert [entry["status"] for entry in catalog.rows_at("renders", "before")] == ["ok"]
    assert [entry["status"] for entry in catalog.rows_at("renders", tagged)] == ["ok"]
    assert catalog.tags("renders") == {"before": tagged}
    catalog.optimize("renders")
    assert [entry["status"] for entry in catalog.rows_at("renders", "before")] == ["ok"]
    assert catalog.tag("renders", "before") > tagged
    with pytest.raises(NotFound):
        catalog.rows_at("renders", "never")


def test_vectors_of_another_encoder_replace_the_old_ones(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    catalog.upsert("clips", {"clip_id": "a", "status": "ok"})
    assert catalog.get("clips", "a")["caption_embedding"] is None
    assert catalog.search("clips", vector=[1.0, 0.0]) == []
    catalog.upsert("clips", {"clip_id": "b", "status": "ok", "caption_embedding": [1.0, 0.0]})
    assert ids(catalog.search("clips", vector=[1.0, 0.0])) == ["b"]
    catalog.upsert("clips", {"clip_id": "c", "status": "ok", "caption_embedding": [1.0, 0.0, 0.0]})
    assert ids(catalog.search("clips", vector=[1.0, 0.0, 0.0])) == ["c"]
    assert catalog.count("clips") == 3
    with pytest.raises(TypeError, match="in one write"):
        catalog.upsert("clips", [{"clip_id": "d", "identity": [1.0]}, {"clip_id": "e", "identity": [1.0, 0.0]}])


def test_words_are_found_in_what_is_said_in_any_language(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    catalog.upsert(
        "clips",
        [
            {"clip_id": "de", "caption": "A woman speaks angrily", "transcript": "Das Mädchen läuft über die Straße"},
            {"clip_id": "zh", "caption": "A man smiles", "transcript": "今天天气很好我们去公园"},
            {"clip_id": "en", "caption": "A man speaks", "transcript": "to be or not to be"},
        ],
    )
    for words, expected in (("strasse", "de"), ("天气", "zh"), ("not to be", "en"), ("smiling", "zh"), ("anger", "")):
        assert ids(catalog.search("clips", text=words, limit=1)) == ([expected] if expected else []), words
    catalog.upsert("renders", {"render_id": "r", "status": "ok", "input_uri": "/films/Der Zug.mov", "caption": "sad"})
    assert [row["render_id"] for row in catalog.search("renders", text="zug")] == ["r"]


def test_rows_in_order_and_by_date(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    catalog.upsert("clips", [{"clip_id": "a", "blur": 2.0}, {"clip_id": "b", "blur": 3.0}, {"clip_id": "c"}])
    assert ids(catalog.rows("clips", order_by="-blur")) == ids(catalog.rows("clips", None, 9, order_by="-blur"))
    assert ids(catalog.rows("clips", None, 2, order_by="-blur")) == ["b", "a"]
    assert ids(catalog.rows("clips", order_by="-blur")) == ["b", "a", "c"]
    assert ids(catalog.rows("clips", order_by="blur", limit=2, columns=["clip_id", "blur"])) == ["a", "b"]
    assert catalog.count("clips", "created > timestamp '2026-01-01 00:00:00'") == 3
    assert catalog.count("clips", "created > timestamp '2999-01-01 00:00:00'") == 0
    with pytest.raises(UsageError, match="colour"):
        catalog.rows("clips", order_by="colour")
    with pytest.raises(UsageError, match="colour"):
        catalog.rows("clips", limit=3, columns=["colour"])


TIDY = Upkeep(parts=3, waiting=40, vectors=200)
"""A table of hundreds is tidied as one of a hundred thousand is."""


def people(numbers: range, random: np.random.Generator) -> list[dict[str, object]]:
    faces = random.standard_normal((len(numbers), 16)).astype(np.float32)
    return [
        {"clip_id": f"c{number}", "status": "ok", "caption": f"face {number}", "identity": unit(*face)}
        for number, face in zip(numbers, faces, strict=True)
    ]


def test_indexes_follow_the_rows(tmp_path: Path) -> None:
    catalog, random = Catalog(tmp_path, TIDY), np.random.default_rng(0)
    catalog.search("clips", text="face")  # nothing there yet
    catalog.upsert("clips", people(range(150), random))
    catalog.search("clips", text="face")
    table = catalog._tables.find("clips")
    assert {index.index_type for index in table.list_indices()} == {"FTS"}
    for start in range(150, 450, 30):
        rows = people(range(start, start + 30), random)
        catalog.upsert("clips", rows)
        assert ids(catalog.search("clips", vector=rows[7]["identity"], column="identity", limit=1)) == [f"c{start + 7}"]
        assert ids(catalog.search("clips", text=str(start + 9))) == [f"c{start + 9}"]
    table = catalog._tables.find("clips")
    indexes = {index.columns[0]: index.name for index in table.list_indices()}
    assert set(indexes) == {"caption", "transcript", "identity"}
    for name in indexes.values():
        state = table.index_stats(name)
        assert state.num_unindexed_rows <= TIDY.waiting and state.num_indices <= 5
    assert table.stats()["fragment_stats"]["num_fragments"] <= TIDY.parts + 1
    rows = people(range(450, 455), random)  # rows that no index holds yet, and one that is written anew
    catalog.upsert("clips", [*rows, {**rows[0], "clip_id": "c3", "caption": "renewed"}])
    assert ids(catalog.search("clips", vector=rows[4]["identity"], column="identity", limit=1)) == ["c454"]
    assert ids(catalog.search("clips", text="renewed")) == ["c3"]
    assert ids(catalog.search("clips", text="3")) == []
    assert sorted(ids(catalog.search("clips", vector=rows[0]["identity"], column="identity", limit=2))) == [
        "c3",
        "c450",
    ]
    assert catalog.count("clips") == 455


def test_a_grown_table_gets_a_new_index(tmp_path: Path) -> None:
    catalog, random = Catalog(tmp_path, TIDY), np.random.default_rng(0)
    names = []
    for numbers in (range(250), range(250, 1000)):
        catalog.upsert("clips", people(numbers, random))
        names += [index.name for index in catalog._tables.find("clips").list_indices()]
    assert names == ["identity_in_8_of_250", "identity_in_8_of_1000"]


def test_vectors_without_a_direction_are_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    catalog = Catalog(tmp_path, TIDY)
    nothing = ([0.0] * 16, [float("nan")] * 16, [], None)
    rows = [{"clip_id": f"n{number}", "identity": nothing[number % 4]} for number in range(400)]
    catalog.upsert("clips", [*rows, *people(range(150), np.random.default_rng(0))])
    assert catalog.count("clips") == 550
    assert len(catalog.search("clips", vector=[1.0] * 16, column="identity", limit=500)) == 150
    catalog.upsert("clips", [{"clip_id": f"same{number}", "identity": [1.0] * 16} for number in range(200)])
    assert [index.columns for index in catalog._tables.find("clips").list_indices()] == [["identity"]]
    assert len(catalog.search("clips", vector=[1.0] * 16, column="identity", limit=500)) == 350
    assert caplog.text == ""


def test_vectors_of_another_encoder_replace_an_index_too(tmp_path: Path) -> None:
    catalog, random = Catalog(tmp_path, TIDY), np.random.default_rng(0)
    catalog.upsert("clips", people(range(250), random))
    wider = [{**row, "identity": unit(*random.standard_normal(32))} for row in people(range(250, 500), random)]
    Catalog(tmp_path, TIDY).upsert("clips", wider)
    assert ids(catalog.search("clips", vector=wider[3]["identity"], column="identity", limit=1)) == ["c253"]
    assert catalog.count("clips") == 500
    assert [index.columns for index in catalog._tables.find("clips").list_indices()] == [["identity"]]


def test_a_catalog_made_anew_under_an_open_one_is_seen(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    catalog.upsert("runs", {"run_id": "old", "status": "ok"})
    shutil.rmtree(tmp_path / "catalog" / "runs.lance")
    assert catalog.rows("runs") == []
    Catalog(tmp_path).upsert("runs", {"run_id": "new", "status": "ok"})
    assert [row["run_id"] for row in catalog.rows("runs")] == ["new"]


def test_a_table_without_indexes_can_be_given_all(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, Upkeep(vectors=100))
    catalog.optimize("clips")
    catalog.upsert("clips", people(range(99), np.random.default_rng(0)))
    catalog.optimize("clips")
    assert {index.columns[0] for index in catalog._tables.find("clips").list_indices()} == {"caption", "transcript"}
    catalog.upsert("clips", people(range(99, 101), np.random.default_rng(1)))
    catalog.optimize("clips")
    assert "identity" in {index.columns[0] for index in catalog._tables.find("clips").list_indices()}


def test_versions_are_listed_and_tags_forgotten(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    assert catalog.versions("runs") == []
    catalog.upsert("runs", {"run_id": "a", "status": "ok"})
    version = catalog.tag("runs", "first")
    catalog.upsert("runs", {"run_id": "b", "status": "ok"})
    kept = catalog.versions("runs")
    assert [entry["version"] for entry in kept] == sorted((entry["version"] for entry in kept), reverse=True)
    assert [entry["version"] for entry in kept if entry["tags"] == "first"] == [version]
    assert [row["run_id"] for row in catalog.rows("runs", at="first")] == ["a"]
    assert sum(batch.num_rows for batch in catalog.batches("runs", at="first")) == 1
    assert len(catalog.rows("runs")) == 2
    catalog.untag("runs", "first")
    assert catalog.tags("runs") == {}
    for question in (lambda: catalog.untag("runs", "first"), lambda: catalog.rows("clips", at="first")):
        with pytest.raises(NotFound):
            question()


@pytest.mark.slow
def test_two_processes_leave_no_row_twice(tmp_path: Path) -> None:
    code = (
        "import sys; from storage.catalog import Catalog; from storage.catalog_indexes import Upkeep\n"
        "catalog = Catalog(sys.argv[1], Upkeep(parts=2, waiting=4, vectors=6))\n"
        "for start in range(6):\n"
        "    rows = [{'clip_id': f'c{i}', 'status': 'ok', 'caption': sys.argv[2], 'identity': [float(i), 1.0]}\n"
        "            for i in range(start, start + 6)]\n"
        "    catalog.upsert('clips', rows)\n"
        "    catalog.search('clips', text=sys.argv[2])"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name]) for name in ("one", "two")]
    assert [writer.wait(240) for writer in writers] == [0, 0]
    found = ids(Catalog(tmp_path).rows("clips"))
    assert sorted(found) == sorted({f"c{i}" for i in range(11)})
