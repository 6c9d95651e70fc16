"""The plan of a library dub: what is left to do, how long it takes and what it leaves, from headers and the ledger."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from flows.planning import dub_plan_text
from storage.errors import UsageError
from storage.layout import Root
from storage.ledger import Ledger
from tasks.config import Config
from tasks.dub_estimate import estimate_dub
from tasks.dub_rates import FINISH, KINDS, LOOK, RENDER, dub_rates, fitted, passes, shipped_dub_rates
from tasks.dubber import render_key, settings_key
from tasks.dubbing.looking import look_key
from tasks.dubbing.place import Place
from tasks.dubbing.spent import FILE, Spent, Stopwatch, note, spent_on, time_columns
from tasks.jobs import Job, read_manifest
from tasks.library_run import dub_many
from tasks.moods import Moods
from tasks.studio.library import LIBRARY

WELCOME, DUB = str(LIBRARY / "welcome.mp4"), str(LIBRARY / "welcome.dub.wav")


@pytest.fixture
def films() -> list[Job]:
    """The shipped library: four films of 26.006 s in all."""
    return read_manifest(LIBRARY / "manifest.csv")


def rendered(
    config: Config, job: Job, seconds: float = 10.0, made_with: tuple[str, ...] | None = None, **columns: Any
) -> Path:
    """A ledger that says that `job` was rendered by model "m", `seconds` for each kind of work; its file, a stand-in of
    83,000 bytes."""
    digest = str(columns.get("source_sha256", f"{job.video} {job.output}"))
    key = render_key(digest, "a", config, "m", Moods.read(job.emotion, job.intensity).key, None, made_with)
    out = Root(config.root).renders / (job.output or f"{Path(job.video).stem}.{key[:8]}.mp4")
    row = {
        "render_id": key, "input_uri": job.video, "audio_uri": job.audio, "output_uri": str(out), "status": "ok",
        "stage": "dub", "frames": 150, "width": 384, "height": 216, "duration_s": 6.0, "source_sha256": digest,
        "audio_sha256": "a", "model_id": "m", "config_hash": config.hash(), "seconds": 3 * seconds,
        "cpu_seconds": 3 * seconds, **{f"{kind}_seconds": seconds for kind in KINDS}, **columns,
    }  # fmt: skip
    out = Path(row["output_uri"])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(b"x" * 83_000)
    Ledger(Root(config.root).renders / "ledger.jsonl").record(key, row["status"], row=row)
    return out


def test_a_library_is_planned_from_shipped_rates(config: Config, films: list[Job]) -> None:
    plan = estimate_dub(films, config)
    assert (plan.jobs, plan.to_do, plan.videos, plan.finished) == (4, 4, 4, 0)
    assert plan.film_s == pytest.approx(26, abs=0.1) and plan.frames == pytest.approx(680, abs=2)
    assert [work.kind for work in plan.work] == list(KINDS)
    assert plan.seconds == pytest.approx(sum(work.seconds for work in plan.work))
    for work in plan.work:
        assert work.films == 4 and work.frames == plan.frames and 0 < work.low < work.seconds < work.high
    assert plan.wall_low < plan.wall_s < plan.wall_high and plan.wall_s > plan.seconds
    assert "shipped" in plan.notes[0]
    assert 0.5e6 < plan.output_bytes < 4e6 and plan.cache_bytes > 0.5e6 and plan.free_bytes > 0
    assert not Path(config.root).exists()
    assert dataclasses.asdict(plan) == plan.as_dict()
    text = dub_plan_text(plan)
    assert "4 dubs (4 to do)" in text and "draw faces" in text and "one worker" in text


def test_rates_are_scaled_to_what_renders_took_here(config: Config, films: list[Job]) -> None:
    shipped = shipped_dub_rates()
    many = passes(config, felt=False)
    for number in range(4):
        said = {kind: shipped.kinds[kind].seconds(150, 384 * 216 / 1e6, many) for kind in KINDS}
        times = {f"{kind}_seconds": 3 * seconds * (1 + 0.01 * number) for kind, seconds in said.items()}
        total = sum(times.values())
        job = Job("/gone.mp4", f"/gone{number}.wav", output=f"{number}.mp4", confined=True)
        rendered(config, job, **times, render_id=str(number), source_sha256=str(number), seconds=total / 3,
                 cpu_seconds=total / 2)  # fmt: skip
    rows = [entry["row"] for entry in Ledger(Root(config.root).renders / "ledger.jsonl").entries()]
    rates = dub_rates(rows * 4, config)
    assert rates.measured_here and rates.alike
    assert rates.kinds[RENDER].per_frame == pytest.approx(3.045 * shipped.kinds[RENDER].per_frame, rel=0.02)
    assert rates.kinds[RENDER].spread < 0.05 and rates.kinds[RENDER].cpu_share == pytest.approx(0.5)
    assert rates.bytes_per_megapixel == pytest.approx(83_000 / (150 * 384 * 216 / 1e6))
    # A second language of a film finds the look done: that does not make looks cheap.
    cheap = [row | {"look_seconds": 0.01} for row in rows]
    again = dub_rates([*rows, *cheap], config)
    assert again.kinds[LOOK].per_frame == pytest.approx(dub_rates(rows, config).kinds[LOOK].per_frame)
    # Renders under other settings count only where there are none under these, and are trusted less.
    other = [row | {"config_hash": "other", "render_seconds": 100.0} for row in rows]
    assert dub_rates([*rows, *other], config).kinds[RENDER] == dub_rates(rows, config).kinds[RENDER]
    assert not dub_rates(other, config).alike
    assert not dub_rates([{"output_uri": None, "status": "rejected"}], config).measured_here
    assert "ledger" in estimate_dub(films, config).notes[0]


def test_what_stands_at_its_place_is_finished(config: Config, films: list[Job], tmp_path: Path) -> None:
    out = rendered(config, films[0])
    plan = estimate_dub(films, config)
    assert (plan.finished, plan.to_do) == (1, 3)
    assert estimate_dub(films, config, model_id="m").finished == 1
    # Another model, emotion, track, place or setting: not that.
    assert estimate_dub(films, config, model_id="other").finished == 0
    for change in ({"emotion": "sad"}, {"audio": films[1].audio}, {"output": "other.mp4"}, {"intensity": 2.0}):
        assert estimate_dub([dataclasses.replace(films[0], **change)], config).finished == 0
    assert estimate_dub(films, config.with_({"render.steps": 7})).finished == 0
    out.unlink()
    assert estimate_dub(films, config).finished == 0


def test_kept_back_rejected_and_changed_ones_are_told_apart(config: Config, tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    shutil.copy(WELCOME, video)
    job = Job(str(video), DUB, output="a.mp4", confined=True)
    review = Root(config.root).renders / "review" / "a.mp4"
    rendered(config, job, output_uri=str(review), status="rejected", stage="review")
    plan = estimate_dub([job], config)
    assert (plan.kept_back, plan.finished, plan.to_do, plan.seconds, plan.wall_s) == (1, 0, 0, 0, 0)
    assert "1 dubs (1 kept back for review)" in dub_plan_text(plan) and "time" not in dub_plan_text(plan)
    os.utime(video, (time.time() + 100, time.time() + 100))
    plan = estimate_dub([job], config)
    assert (plan.kept_back, plan.to_do) == (0, 1) and any("newer" in note for note in plan.notes)
    bare = Job(WELCOME, DUB)
    rendered(config, bare, render_id="x")
    assert estimate_dub([bare], config).finished == 1  # under the name that the program gives
    silent = {"input_uri": WELCOME, "audio_uri": DUB, "config_hash": config.hash(), "emotion": "sad"}
    Ledger(Root(config.root).renders / "ledger.jsonl").record("none", "rejected", row=silent)
    assert estimate_dub([Job(WELCOME, DUB, "sad")], config).rejected == 1
    assert estimate_dub([Job(WELCOME, DUB, "happy")], config).rejected == 0


def test_what_a_stopped_run_left_is_taken_off(config: Config) -> None:
    job, digests = Job(WELCOME, DUB, "happy"), {"source_sha256": "v", "audio_sha256": "a", "model_id": "m"}
    key, root = render_key("v", "a", config, "m", "happy"), Root(config.root)
    whole = estimate_dub([job], config)
    ledger = Ledger(root.renders / "ledger.jsonl")
    ledger.record(key, "started", input_uri=WELCOME, audio_uri=DUB, **digests)
    place = Place(root, key)
    place.folder.mkdir(parents=True)
    note(place, RENDER, 50, Spent(1.0, 1.0))
    plan = estimate_dub([job], config)
    assert [work.frames for work in plan.work] == [150, 100, 150] and "50 frames drawn" in plan.notes[-1]
    assert plan.work[1].seconds == pytest.approx(whole.work[1].seconds * 2 / 3)
    seen = place.look(look_key("v", config))
    seen.parent.mkdir(parents=True)
    seen.touch()
    plan = estimate_dub([job, dataclasses.replace(job, emotion="sad")], config)
    assert [(work.films, work.frames) for work in plan.work] == [(0, 0), (2, 250), (2, 300)]
    assert estimate_dub([job], config.with_({"render.steps": 7})).work[1].frames == 150


def test_what_cannot_be_done_is_named(config: Config, films: list[Job], tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film " * 100)
    (tmp_path / "empty.mp4").touch()
    more = [
        Job(str(tmp_path / "text.mp4"), DUB, confined=True), Job(str(tmp_path / "gone.mp4"), DUB, confined=True),
        Job(str(tmp_path / "empty.mp4"), DUB), Job(WELCOME, str(tmp_path / "gone.wav")),
        Job(str(LIBRARY / "portrait.png"), DUB), Job(WELCOME, DUB, output="../x.mp4", confined=True),
        Job(WELCOME, DUB, "0: sad | 0: happy", None, "y.mp4", True), dataclasses.replace(films[0]),
    ]  # fmt: skip
    plan = estimate_dub([*films, *more], config)
    assert (plan.jobs, plan.to_do) == (12, 4)
    reasons = dict(zip(("gone.mp4", "empty.mp4", "gone.wav", "text.mp4", "portrait.png"), plan.unreadable, strict=True))
    assert all(name in reason for name, reason in reasons.items()), plan.unreadable
    assert "no film" in reasons["text.mp4"] and "no moving picture" in reasons["portrait.png"]
    assert len(plan.refused) == 3 and "outside" in plan.refused[0] and "two rows" in plan.refused[2]
    text = dub_plan_text(plan)
    assert "3 refused" in text and f"unreadable: {tmp_path / 'gone.mp4'}: no such file" in text
    with pytest.raises(UsageError):
        estimate_dub([Job(WELCOME, DUB, output="x.txt")], config)


def test_workers_languages_and_feelings_shape_the_time(config: Config, films: list[Job]) -> None:
    wide = config.with_({"runtime.in_process": False})
    one, four = (estimate_dub(films, wide, workers=count) for count in (1, 4))
    assert four.workers == 4 and four.seconds == one.seconds and one.wall_s > four.wall_s > one.wall_s / 4
    # The end of a film and its look are one worker's: the longest film bounds the time of many workers.
    assert estimate_dub(films, wide, workers=100).workers == 4
    # A single short film is done here.
    assert estimate_dub(films[:1], wide, workers=4).workers == 1
    # Five languages of a film are one look.
    languages = [Job(WELCOME, DUB, None, None, f"{number}.mp4", True) for number in range(5)]
    plan = estimate_dub(languages, config)
    assert (plan.to_do, plan.videos) == (5, 1)
    assert [work.films for work in plan.work] == [1, 5, 5]
    felt = estimate_dub([dataclasses.replace(job, emotion="happy") for job in languages], config)
    work = {
        kind: (before.seconds, after.seconds) for kind, before, after in zip(KINDS, plan.work, felt.work, strict=True)
    }
    assert work[RENDER][1] > 1.2 * work[RENDER][0] and work[FINISH][1] == work[FINISH][0]


def test_costs_need_prices(config: Config, films: list[Job]) -> None:
    plan = estimate_dub(films, config)
    assert plan.cost is None and plan.cost_month is None and "cost" not in dub_plan_text(plan)
    priced = config.with_({"runtime.price_per_cpu_hour": 0.05, "runtime.price_per_gb_month": 0.02})
    plan = estimate_dub(films, priced, workers=2)
    assert plan.cost == pytest.approx(0.05 * 2 * plan.wall_s / 3600)
    assert plan.cost_month == pytest.approx(0.02 * plan.output_bytes / 1e9)
    assert sum(work.cost or 0 for work in plan.work) == pytest.approx(plan.cost)
    assert "in the currency" in dub_plan_text(plan)


def test_thousands_of_rows_are_planned_in_seconds(config: Config, tmp_path: Path) -> None:
    four = [LIBRARY / f"{name}.mp4" for name in ("welcome", "news", "return", "dialogue")]
    jobs, made_with = [], settings_key(config, "m")
    for number in range(2000):
        video = tmp_path / f"{number}.mp4"
        video.symlink_to(four[number % 4])
        jobs.append(Job(str(video), DUB, None, None, f"{number}.mp4", True))
    for number in range(0, 500, 5):
        rendered(config, jobs[number], made_with=made_with)
    started = time.process_time()
    plan = estimate_dub(jobs, config)
    assert time.process_time() - started < 6
    assert plan.film_s == pytest.approx(6.5 * 1900, rel=0.03) and plan.videos == 1900
    assert any("were read" in note for note in plan.notes)


def test_rates_are_fitted_to_what_was_measured() -> None:
    films = []
    for frames, megapixels, many in ((75, 0.1, 2), (100, 0.5, 2), (75, 1.0, 4), (50, 2.0, 2), (60, 0.1, 4)):
        films.append({
            "frames": frames, "megapixels": megapixels, "faces": 1.0, "passes": many, "bytes": 1000,
            "stretch_bytes": 10 * frames, "plan_bytes": frames, "look_bytes": 2 * frames,
            LOOK: frames * (0.02 + 0.05 * megapixels), FINISH: frames * 0.04,
            RENDER: frames * (0.01 + 0.02 * many + 0.003 * megapixels),
        })  # fmt: skip
    rates = fitted(films)
    assert rates["kinds"][LOOK] == pytest.approx({"per_frame": 0.02, "per_megapixel": 0.05}, rel=0.01)
    assert rates["kinds"][RENDER] == pytest.approx(
        {"per_frame": 0.01, "per_pass": 0.02, "per_megapixel": 0.003}, rel=0.01
    )
    assert rates["kinds"][FINISH]["per_frame"] == pytest.approx(0.04, rel=0.01)
    assert rates["stretch_bytes"] == pytest.approx(10)
    assert {kind for kind, rate in shipped_dub_rates().kinds.items() if rate.per_frame > 0} == set(KINDS)


def test_times_are_noted_piece_by_piece(config: Config) -> None:
    place = Place(Root(config.root), "k")
    note(place, LOOK, 5, Spent(1.0, 0.5))
    assert not place.folder.exists() and spent_on(place) == {}  # a cleared folder does not come back
    place.folder.mkdir(parents=True)
    note(place, LOOK, 5, Spent(1.0, 0.5))
    note(place, RENDER, 5, Spent(2.0, 1.0))
    note(place, RENDER, 7, Spent(3.0, 1.5))
    with (place.folder / FILE).open("ab") as stream:
        stream.write(b'{"kind": "render", "sec')
    assert spent_on(place) == {LOOK: Spent(1.0, 0.5, 5), RENDER: Spent(5.0, 2.5, 12)}
    columns = time_columns(place, Spent(4.0, 4.0))
    assert columns == {
        "look_seconds": 1.0, "render_seconds": 5.0, "finish_seconds": 4.0, "seconds": 10.0, "cpu_seconds": 7.0,
    }  # fmt: skip
    watch = Stopwatch(among=2)
    time.sleep(0.1)
    assert 0.05 <= watch.lap().seconds < 0.1


@pytest.mark.slow
def test_a_run_leaves_what_the_next_plan_needs(talking: Path, track: Path, tiny_model: Path, config: Config) -> None:
    jobs = [Job(str(talking), str(track), None, None, f"{name}.mp4", True) for name in ("a", "b")]
    (row,) = dub_many(jobs[:1], tiny_model, config)
    kinds = [row[f"{kind}_seconds"] for kind in KINDS]
    assert min(kinds) > 0 and row["seconds"] == pytest.approx(sum(kinds)) and row["cpu_seconds"] > 0
    plan = estimate_dub(jobs[:1], config)
    assert (plan.finished, plan.to_do) == (1, 0)
    louder = [dataclasses.replace(job, emotion="sad") for job in jobs[1:]]
    plan = estimate_dub(louder, config)
    assert plan.to_do == 1 and "1 renders" in plan.notes[0]
    (again,) = dub_many(louder, tiny_model, config)
    assert again["look_seconds"] < row["look_seconds"]
    finishing = next(work for work in plan.work if work.kind == FINISH)
    assert finishing.low < again["finish_seconds"] < finishing.high
