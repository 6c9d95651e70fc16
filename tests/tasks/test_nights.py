"""What a night knows of those before it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from storage.layout import Root
from storage.registry import Registry
from tasks.config import Config, load_config
from tasks.nights import footage_stamp, keep_seen, keep_verdict, promote_overdue, seen, verdict_on
from tasks.sources import Source


@pytest.fixture
def registry(root: Root) -> Registry:
    return Registry(root)


@pytest.fixture
def config(root: Root) -> Config:
    return load_config(root=root.local)


def model(registry: Registry, folder: Path, number: int, dataset_id: str = "") -> str:
    place = folder / str(number)
    place.mkdir()
    save_file({"weight": torch.full((2,), float(number))}, place / "model.safetensors")
    return registry.register(place, "line", metrics={"training": {"loss": 1}}, dataset_id=dataset_id)


def won(promoted: bool = True) -> dict[str, Any]:
    return {"promoted": promoted, "reason": "better: lse_c +0.5 [+0.3, +0.7]", "differences": []}


def test_a_verdict_stands_with_the_challenger_by_the_dataset_that_it_learned_from(
    registry: Registry, tmp_path: Path
) -> None:
    champion, challenger = model(registry, tmp_path, 1), model(registry, tmp_path, 2, "night@a")
    registry.promote(champion)
    assert verdict_on(registry, "line", "night@a") is None, "trained, and not judged yet"
    keep_verdict(registry, challenger, champion, "night@a", won(False), {"exam@b": {"lse_c": 3.0}})
    found = verdict_on(registry, "line", "night@a")
    assert found is not None and (found["model_id"], found["promoted"]) == (challenger, False)
    assert verdict_on(registry, "line", "night@c") is None
    metrics = json.loads(registry.show(challenger)["metrics"])
    assert metrics["exam@b"] == {"lse_c": 3.0} and metrics["training"] == {"loss": 1}


def test_a_promotion_that_was_decided_is_made_up_for_once(registry: Registry, tmp_path: Path) -> None:
    champion, challenger = model(registry, tmp_path, 1), model(registry, tmp_path, 2)
    registry.promote(champion)
    assert promote_overdue(registry, "line") is None
    keep_verdict(registry, challenger, champion, "night@a", won(), {})
    assert promote_overdue(registry, "line") == challenger
    assert registry.history("line")[-1]["reason"].startswith("better: lse_c")
    assert promote_overdue(registry, "line") is None
    registry.rollback("line", "it flickers")
    assert promote_overdue(registry, "line") is None, "who was rolled back stays so"


def test_a_promotion_over_another_champion_is_not_made_up_for(registry: Registry, tmp_path: Path) -> None:
    first, other, challenger = (model(registry, tmp_path, number) for number in range(3))
    registry.promote(first)
    keep_verdict(registry, challenger, first, "night@a", won(), {})
    registry.promote(other, "by hand")
    assert promote_overdue(registry, "line") is None
    assert (registry.champion("line") or {})["model_id"] == other


def test_footage_is_told_by_places_sizes_and_times(config: Config, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.mp4", "b.mp4")]
    for file in files:
        file.write_bytes(b"film")
    sources = [Source(str(file)) for file in files]
    stamp = footage_stamp(sources, config)
    assert stamp is not None
    assert footage_stamp(list(reversed(sources)), config) == stamp
    assert footage_stamp([Source(str(files[0]), speaker="Ann"), sources[1]], config) != stamp
    assert footage_stamp(sources, config.with_({"preprocess.min_blur": 9.0})) != stamp
    assert footage_stamp(sources, config.with_({"runtime.actors": 3, "train.steps": 5})) == stamp
    os.utime(files[0], ns=(1, 1))
    assert footage_stamp(sources, config) != stamp
    files[1].unlink()
    assert footage_stamp(sources, config) is None


def test_what_was_seen_is_kept_by_dataset(root: Root) -> None:
    assert seen(root, "night") == {}
    keep_seen(root, "night", "stamp", "version")
    keep_seen(root, "other", None, "version")
    assert (seen(root, "night"), seen(root, "other")) == ({"stamp": "stamp", "version": "version"}, {})
