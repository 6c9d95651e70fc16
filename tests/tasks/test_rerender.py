"""Dubs made anew by a new champion: which, for how long, and what becomes of those that they replace."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from models.pipeline import load_pipeline
from storage import media
from storage.catalog import Catalog
from storage.ids import code_revision
from storage.layout import Root
from storage.schema import RUNS, row
from tasks.config import Config, load_config
from tasks.config_nightly import Nightly
from tasks.jobs import Job
from tasks.library_run import dub_many
from tasks.rerender import candidates, rerender, settle, standing

EVER = ("old", "new")
OTHERS = dict.fromkeys(
    (
        "gate.min_sync",
        "gate.min_sync_gain",
        "gate.max_sync_offset",
        "gate.min_identity",
        "gate.max_flicker",
        "gate.max_seam",
    )
)


@pytest.fixture(scope="module")
def film(talking: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first twelve frames of a talking head: as little as can be dubbed."""
    frames = [frame for _, _, frame in media.iter_frames(talking)][:12]
    return media.write_video(tmp_path_factory.mktemp("film") / "film.mp4", frames, 25, media.read_audio(talking, 16000))


@pytest.fixture(scope="module")
def better_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, of other weights."""
    folder = tmp_path_factory.mktemp("model") / "new"
    pipeline = load_pipeline(tiny_model)
    with torch.no_grad():
        for weight in pipeline.unet.parameters():
            weight.mul_(0.9)
    pipeline.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def dubbed(
    film: Path, track: Path, tiny_model: Path, face_pack: str, tmp_path_factory: pytest.TempPathFactory
) -> Config:
    """A root with three dubs by the model "old": two shipped, a third kept for review."""
    quick = {"render.steps": 1, "render.guidance_audio": 1.0, "runtime.in_process": True, "gate.keep_back": False}
    config = load_config(root=tmp_path_factory.mktemp("dubbed") / "root", overrides={"faces.pack": face_pack, **quick})
    strict = config.with_({**OTHERS, "gate.keep_back": True, "gate.min_outside_psnr_db": 99.0})
    rows: list[dict[str, Any]] = []
    for emotion, settings in ((None, config), ("happy", config), ("sad", strict)):
        job = Job(str(film), str(track), emotion, None, f"{emotion}.mp4", True)
        rows += dub_many([job], tiny_model, settings, model_id="old", run_id=f"run {emotion}")
    assert [row["stage"] for row in rows] == ["dub", "dub", "review"]
    Catalog(config.root).upsert("renders", rows)
    return config


@pytest.fixture
def config(dubbed: Config, tmp_path: Path) -> Iterator[Config]:
    """The same in a root of its own. Rows name the places of files, so it must lie where it was: that is put aside."""
    place, kept = Path(dubbed.root), tmp_path / "as it was"
    shutil.copytree(place, kept)
    yield dubbed
    shutil.rmtree(place)
    kept.rename(place)


def names(config: Config, policy: str, model_id: str = "new", **more: Any) -> list[str]:
    settings = Nightly(rerender=policy, **more)
    return [Path(one.place).stem for one in candidates(Root(config.root), settings, model_id, EVER, 2)]


def test_the_policy_says_which(dubbed: Config) -> None:
    assert names(dubbed, "none") == []
    assert names(dubbed, "flagged") == ["sad"]
    assert names(dubbed, "newest", newest=2) == ["sad", "happy"]
    assert names(dubbed, "all") == ["sad", "happy", "None"]
    assert names(dubbed, "all", "old") == [], "what the champion has made itself is not made again"
    by_choice = candidates(Root(dubbed.root), Nightly(rerender="all"), "new", ("new", "another"), 2)
    assert by_choice == [], "a model that was never the champion was named on purpose"


def test_the_champion_takes_the_place_of_the_one_before(config: Config, better_model: Path) -> None:
    root, catalog = Root(config.root), Catalog(config.root)
    wanted = candidates(root, Nightly(rerender="all"), "new", EVER, 2)
    before = {one.place: one.row["render_id"] for one in wanted}
    assert (root.renders / "review" / "sad.mp4").is_file() and not (root.renders / "sad.mp4").exists()
    rows, left = rerender(wanted, better_model, config, model_id="new", run_id="night")
    assert left == 0 and {row["status"] for row in rows} == {"ok"}
    assert {row["output_uri"] for row in rows} == set(before)
    settle(root)
    assert sorted(str(file.relative_to(root.renders)) for file in root.renders.rglob("*.mp4")) == [
        "None.mp4", "happy.mp4", "sad.mp4",
    ], "what was kept for review is still there"  # fmt: skip
    by_model = {name: catalog.rows("renders", f"model_id = '{name}'") for name in EVER}
    assert {row["render_id"] for row in by_model["old"]} == set(before.values())
    heirs = {row["output_uri"]: row["render_id"] for row in by_model["new"]}
    assert {row["replaced_by"] for row in by_model["old"]} == set(heirs.values())
    assert {row["replaced_by"] for row in by_model["new"]} == {None}
    assert settle(root) == 0, "it was in line already"
    assert names(config, "all") == []
    assert sorted(names(config, "all", "old")) == ["None", "happy", "sad"], "a rollback gives them back"


def test_what_misses_the_gate_leaves_the_file_that_was_there(config: Config, better_model: Path) -> None:
    root = Root(config.root)
    before = (root.renders / "happy.mp4").read_bytes()
    strict = config.with_({**OTHERS, "gate.keep_back": True, "gate.min_outside_psnr_db": 99.0})
    wanted = [one for one in standing(root) if Path(one.place).stem == "happy"]
    ((made,), _) = rerender(wanted, better_model, strict, model_id="new")
    assert (made["status"], made["stage"]) == ("rejected", "review")
    assert (root.renders / "happy.mp4").read_bytes() == before
    settle(root)
    assert Catalog(root).get("renders", wanted[0].row["render_id"])["replaced_by"] is None
    assert (root.renders / "review" / "happy.mp4").is_file()
    assert "happy" not in names(config, "all"), "the champion has had its try"


def test_the_hours_are_kept_and_the_rest_waits(config: Config, better_model: Path) -> None:
    root = Root(config.root)
    wanted = candidates(root, Nightly(rerender="all"), "new", EVER, 2)
    short = config.with_({"nightly.rerender_hours": 1e-6})
    rows, left = rerender(wanted, better_model, short, model_id="new", clock=lambda: 0.0)
    assert (len(rows), left) == (1, 2), "the first is begun, or nothing ever would be"
    assert names(config, "all") == ["happy", "None"]
    over = iter([0.0, 3600.0])
    rows, left = rerender(wanted[1:], better_model, config.with_({"nightly.rerender_hours": 0.5}), model_id="new",
                          clock=lambda: next(over))  # fmt: skip
    assert (rows, left) == ([], 2), "the time is up"


def test_a_dub_is_made_anew_as_it_was_asked_for(config: Config, better_model: Path) -> None:
    """With the settings of the run that made it, though a night has others."""
    asked = config.with_({"render.feather": 0.12})
    now = datetime.datetime.now(datetime.UTC)
    run = row(RUNS, run_id="run happy", command="dub", status="ok", config=asked.model_dump_json(), counts="{}",
              started=now, seconds=1.0, code_revision=code_revision(), created=now)  # fmt: skip
    Catalog(config.root).upsert("runs", run)
    wanted = [one for one in standing(Root(config.root)) if Path(one.place).stem == "happy"]
    assert (wanted[0].job.emotion, wanted[0].kind) == ("happy", "dub")
    ((made,), _) = rerender(wanted, better_model, config, model_id="new")
    assert made["config_hash"] == asked.hash() != config.hash()


def test_rows_that_a_killed_run_did_not_write_come_into_the_catalog(config: Config) -> None:
    catalog = Catalog(config.root)
    catalog.delete("renders", "emotion = 'happy'")
    assert (catalog.count("renders"), settle(Root(config.root)), catalog.count("renders")) == (2, 1, 3)
