"""Nights with real training runs on the studio: what is better is promoted, what is not is not; failures; rollback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from flows.dub import dub
from flows.nightly import LOCK, _new_version, nightly
from flows.options import Options
from flows.preprocess import preprocess
from flows.run import Run
from flows.train import train
from storage import versions
from storage.atomic import FileLock
from storage.catalog import Catalog
from storage.errors import NotFound
from storage.layout import Root
from storage.registry import Registry
from storage.schema import CLIPS
from storage.shards import ShardWriter, read_rows
from tasks.champion import ensure_champion
from tasks.nights import seen
from tests.conftest import LIBRARY, Command
from tests.flows.nights import deaf, faint, films, settings, two_faced
from tests.flows.test_cli import the_object

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_url"), pytest.mark.timeout(1800)]
TRAIN, HELD_OUT = (2, 4), (0, 1)
"""People of the library's footage."""
LINE = "studio"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, prefect_url: str) -> Path:
    """A folder with a root in which the shipped model is the champion and the dataset "exam" judges."""
    folder = tmp_path_factory.mktemp("nights")
    options = Options(root=str(folder / "root"), settings=settings())
    preprocess(options, [str(films(folder / "exam", HELD_OUT, "val"))], "exam")
    ensure_champion(Registry(folder / "root"), LINE)
    return folder


def options(place: Path, **more: Any) -> Options:
    return Options(root=str(place / "root"), settings=settings(**{"nightly__held_out": "exam", **more}))


def champion_id(place: Path) -> str:
    row = Registry(place / "root").champion(LINE)
    assert row is not None
    return str(row["model_id"])


def promoted(place: Path, folder: Path) -> str:
    """Make the model of a folder the champion."""
    registry = Registry(place / "root")
    return registry.promote(registry.register(folder, LINE, metrics={}), "for a test")


def test_a_better_challenger_is_promoted_and_makes_the_library_anew(place: Path) -> None:
    root = Root(place / "root")
    worse = promoted(place, faint(place / "faint"))
    film = films(place / "film", (3,), "train").parent / "person3_neutral.mp4"
    (made,) = dub(options(place), video=str(film), audio=[str(LIBRARY / "welcome.dub.wav")])["items"]
    (before,) = Catalog(root).rows("renders", f"model_id = '{worse}'")

    night = options(place, nightly__steps=32, train__learning_rate=3e-4, nightly__rerender="all")
    footage = [str(films(place / "incoming", TRAIN, "train"))]
    result = nightly(night, footage, "nightly")
    assert result["promoted"], result["verdict"]
    assert "better: " in result["verdict"] and "nothing is worse" in result["verdict"]
    challenger = Registry(root).show(result["model"])
    assert (champion_id(place), challenger["parent"]) == (result["model"], worse)
    assert challenger["dataset_id"] == result["dataset"]
    verdict = json.loads(challenger["metrics"])["gate"]
    assert (verdict["promoted"], verdict["champion"], verdict["dataset_id"]) == (True, worse, result["dataset"])
    page = Path(result["report"]).read_text()
    assert "Promoted." in page and 'class="interval ok"' in page and "re-render" in page

    assert (result["rerendered"], result["rerender_left"]) == (1, 0)
    (anew,) = Catalog(root).rows("renders", f"model_id = '{result['model']}'")
    name = Path(made["output"]).name
    where = {"ok": root.renders / name, "rejected": root.renders / "review" / name}
    assert anew["output_uri"] == str(where[anew["status"]])
    assert [file for file in root.renders.rglob("*.mp4") if file.name == name] == [where[anew["status"]]]
    (old,) = Catalog(root).rows("renders", f"model_id = '{worse}'")
    assert old["render_id"] == before["render_id"]

    left = [folder.name for folder in (root.cache / "training").glob("*/*")]
    assert "model" in left and "checkpoints" not in left and "start" not in left
    again = nightly(night, footage, "nightly")
    assert (again["table"], again["promoted"]) == ("nothing new: no training", False)
    assert [stage for stage in ("model", "rerendered") if stage in again] == []
    assert len(Registry(root).models(LINE)) == 3


def test_after_a_rollback_the_night_starts_from_the_champion_of_before_and_garbage_is_not_promoted(
    place: Path,
) -> None:
    registry = Registry(place / "root")
    (shipped,) = (row["model_id"] for row in registry.models(LINE) if row["stage"] == "shipped")
    while champion_id(place) != shipped:
        registry.rollback(LINE, "the nights were bad")
    footage = films(place / "garbage", TRAIN, "train", sound_of=lambda number: number + 1)
    result = nightly(
        options(place, nightly__steps=12, train__learning_rate=3e-3, nightly__rerender="none"),
        [str(footage)],
        "garbage",
    )
    assert not result["promoted"]
    assert result["verdict"].startswith("champion studio@1 kept: worse: ")
    assert registry.show(result["model"])["parent"] == shipped == champion_id(place)
    assert "Champion kept." in Path(result["report"]).read_text()


def test_better_in_sync_and_worse_in_identity_is_not_promoted(place: Path) -> None:
    root, registry = Root(place / "root"), Registry(place / "root")
    shipped = champion_id(place)
    unhearing = promoted(place, deaf(place / "deaf"))
    exam, seen = (list(read_rows(versions.show_version(root, name).path)) for name in ("exam", "nightly"))
    seen.sort(key=lambda row: row["speaker"])
    with ShardWriter(place / "rows", CLIPS) as shards:
        shards.write([two_faced(row, seen[(at + 2) % len(seen)]) for at, row in enumerate(seen)] + exam)
    versions.commit_version(root, "two-faced", place / "rows", "clips that turn into somebody else")
    result = train(
        options(place, train__learning_rate=1e-3), dataset="two-faced", init=shipped, steps=16
    )  # fmt: skip
    verdict = result["verdict"]
    assert not result["promoted"]
    assert "worse: " in verdict and "identity" in verdict.partition("(better: ")[0]
    assert "mouth_correlation" in verdict.partition("(better: ")[2]
    assert champion_id(place) == unhearing
    registry.rollback(LINE)


def test_a_failing_night_leaves_the_champion_and_the_next_one_is_clean(place: Path) -> None:
    before, root = champion_id(place), Root(place / "root")
    footage = [str(films(place / "more", (5,), "train"))]
    broken = options(place, nightly__held_out="missing", nightly__steps=1, train__learning_rate=1e-9)
    state = nightly(broken, footage, "more", return_state=True)
    assert state.is_failed()
    with pytest.raises(NotFound, match="missing"):
        state.result(raise_on_failure=True)
    assert champion_id(place) == before
    (row,) = Catalog(root).rows("runs", "command LIKE 'nightly%' AND status = 'failed'")
    assert "missing" in root.resolve(row["report"]).read_text()

    models = len(Registry(root).models(LINE))
    result = nightly(options(place, nightly__steps=1, train__learning_rate=1e-9), footage, "more")
    assert (result["dataset"].partition("@")[0], result["promoted"]) == ("more", False)
    assert "verdict" in result, "the night before judged nothing, so this one does"
    assert len(Registry(root).models(LINE)) == models, "the challenger of the failed night is taken up, not made again"
    assert champion_id(place) == before


def test_a_second_night_on_the_same_root_is_skipped_and_says_so(place: Path) -> None:
    with FileLock(place / "root" / "runs" / LOCK):
        result = nightly(options(place), [str(place / "more" / "manifest.csv")], "more")
    assert result["skipped"] and result["counts"] == {"ok": 0, "rejected": 0, "failed": 0}
    assert "another night" in result["table"]


def test_footage_that_failed_is_taken_up_again_the_next_night(tmp_path: Path) -> None:
    folder = films(tmp_path / "incoming", (3,), "train").parent
    broken = max(folder.glob("*.mp4"))
    kept = broken.read_bytes()
    broken.write_bytes(kept[:200])
    config = Options(root=str(tmp_path / "root"), settings=settings()).config()
    version, _ = _new_version(Run("nightly", config), [str(folder)], "more")
    assert version is not None and seen(Root(config.root), "more") == {}
    broken.write_bytes(kept)
    version, _ = _new_version(Run("nightly", config), [str(folder)], "more")
    assert version is not None and seen(Root(config.root), "more")["version"] == version.version


def test_of_two_machines_that_share_a_root_one_has_the_night(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("flows.nightly.LEASE_S", 0.0)
    root = Root(f"memory://{uuid4().hex}/root").create()
    with root.lease("night"):
        result = nightly(Options(root=root.uri, settings=settings()), [str(tmp_path)], "more")
    assert result["skipped"] and "another night" in result["table"]
    result = nightly(Options(root=root.uri, settings=settings()), [str(tmp_path)], "more")
    assert "no footage" in result["table"], "the night is free again"


def test_a_night_without_anything_new_ends_within_seconds(place: Path, dubwright: Command) -> None:
    words = [
        word for setting in settings(nightly__held_out="exam", nightly__rerender="none") for word in ("--set", setting)
    ]
    footage = ("nightly", place / "more" / "manifest.csv", "--dataset", "more")
    told = dubwright("--root", place / "root", *footage, "--json", *words)
    assert told.returncode == 0, told.stderr
    result = the_object(told.stdout)
    assert (result["table"], result["items"]) == ("nothing new: no training", [])
    assert float(result["seconds"]) < 60, "a second or two, on a machine that has nothing else to do"
