"""Models are named by their bytes; one is the champion, and the way back is open."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from storage.errors import InputFailed, NotFound
from storage.registry import Registry, folder_sha256
from storage.schema import MODELS


def model(place: Path, seed: int) -> Path:
    (place / "unet").mkdir(parents=True)
    save_file({"weight": np.random.default_rng(seed).random(8, dtype=np.float32)}, place / "unet" / "model.safetensors")
    (place / "model_index.json").write_text(json.dumps({"_class_name": "DubPipeline"}))
    return place


def test_register_show_and_the_same_bytes_again(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "root")
    source = model(tmp_path / "a", 1)
    first = registry.register(
        source, "dub-studio", metrics={"fid": 40.0}, dataset_id="talks@abc", stage="image", licence="Apache-2.0"
    )
    second = registry.register(model(tmp_path / "b", 2), "dub-studio", parent=first)
    assert len(first) == 20
    assert first != second
    assert registry.register(model(tmp_path / "elsewhere" / "c", 1), "other", metrics={"lse_c": 6}) == first

    entry = registry.show(first)
    assert set(entry) == set(MODELS.names)
    assert (entry["name"], entry["version"], entry["parent"], entry["promoted"]) == ("dub-studio", 1, "", False)
    assert json.loads(entry["metrics"]) == {"fid": 40.0, "lse_c": 6}
    assert entry["sha256"] == folder_sha256(source)[0]
    assert registry.show("dub-studio@2")["parent"] == first
    assert registry.show("dub-studio")["model_id"] == second
    assert registry.show(first[:5])["model_id"] == first
    assert [r["version"] for r in registry.models("dub-studio")] == [1, 2]
    assert registry.names() == ["dub-studio"]
    assert (registry.path(first) / "unet" / "model.safetensors").read_bytes() == (
        source / "unet" / "model.safetensors"
    ).read_bytes()
    registry.verify(first)
    with pytest.raises(NotFound, match="dub-studio@1"):
        registry.show("nobody")


def test_champions_come_and_go_with_their_reasons(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "root")
    a, b, c = (registry.register(model(tmp_path / name, i), "dub") for i, name in enumerate("abc"))
    assert registry.champion("dub") is None
    with pytest.raises(NotFound, match="no champion before"):
        registry.rollback("dub")
    registry.promote(a, "the first")
    registry.promote(b, "FID 38 < 40")
    registry.promote(b, "twice")
    assert registry.champion("dub")["model_id"] == b
    assert registry.show("dub")["model_id"] == b
    assert registry.rollback("dub", "flicker") == a
    assert [r["promoted"] for r in registry.models("dub")] == [True, False, False]
    registry.promote(c)
    assert registry.rollback("dub") == a
    with pytest.raises(NotFound):
        registry.rollback("dub")
    assert [(event["model_id"], event["reason"]) for event in registry.history("dub")] == [
        (a, "the first"), (b, "FID 38 < 40"), (a, "flicker"), (c, ""), (a, ""),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.ckpt", "unet/x.pkl", "modeling.py"])
def test_formats_that_run_code_are_refused(tmp_path: Path, name: str) -> None:
    source = model(tmp_path / "a", 1)
    (source / name).write_bytes(b"x")
    with pytest.raises(InputFailed, match="run code") as caught:
        Registry(tmp_path / "root").register(source, "dub")
    assert name.rsplit("/", 1)[-1] in str(caught.value)
    assert Registry(tmp_path / "root").models() == []


def test_a_folder_without_weights_and_a_missing_one(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputFailed, match="no weights"):
        Registry(tmp_path / "root").register(tmp_path / "empty", "dub")
    with pytest.raises(InputFailed, match="no such model folder"):
        Registry(tmp_path / "root").register(tmp_path / "gone", "dub")


def test_changed_files_are_found(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "root")
    model_id = registry.register(model(tmp_path / "a", 1), "dub")
    (registry.path(model_id) / "model_index.json").write_text("{}")
    with pytest.raises(InputFailed, match="not those"):
        registry.verify(model_id)


def _register(root: str, source: str, results: object) -> None:
    results.put(Registry(root).register(source, "dub"))


def test_two_processes_at_once_number_their_models_apart(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    sources = [str(model(tmp_path / str(i), i % 3)) for i in range(4)]
    workers = [context.Process(target=_register, args=(str(tmp_path / "root"), s, results)) for s in sources]
    for worker in workers:
        worker.start()
    made = {results.get(timeout=60) for _ in workers}
    for worker in workers:
        worker.join(60)
    rows = Registry(tmp_path / "root").models("dub")
    assert {r["model_id"] for r in rows} == made
    assert [r["version"] for r in rows] == [1, 2, 3]
