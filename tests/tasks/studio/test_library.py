"""The shipped library: whole, small, ordinary files that fit together and say that they are synthetic."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from storage import media
from tasks.speakers import read_rttm
from tasks.studio.episodes import Episode, mixed, speech_of
from tasks.studio.library import (
    EPISODES,
    FOOTAGE_COLUMNS,
    FOOTAGE_PEOPLE,
    LIBRARY,
    MANIFEST_COLUMNS,
    PORTRAIT_SEED,
    write_portrait,
)
from tasks.studio.takes import FIRST_LIBRARY_SEED


def rows(name: str) -> list[dict[str, str]]:
    with (LIBRARY / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in LIBRARY.rglob("*") if path.is_file()) < 3_200_000


def test_the_manifest_names_files_that_are_there() -> None:
    entries = rows("manifest.csv")
    assert [entry["video"] for entry in entries] == [f"{episode.name}.mp4" for episode in EPISODES]
    for entry in entries:
        assert tuple(entry) == MANIFEST_COLUMNS
        for column in ("video", "audio", "speakers"):
            assert not entry[column] or (LIBRARY / entry[column]).is_file()
    assert sum(bool(entry["speakers"]) for entry in entries) == 1
    assert any(entry["emotion"] == "auto" for entry in entries)


@pytest.mark.parametrize("episode", EPISODES, ids=lambda episode: episode.name)
def test_an_episode_has_picture_sound_dub_and_truth_of_one_length(episode: Episode) -> None:
    info = media.probe(LIBRARY / f"{episode.name}.mp4", need_audio=True)
    assert info.video is not None
    assert (info.video.width, info.video.height) == episode.size
    assert info.video.fps == episode.fps
    assert info.video.frames == len(episode.times)
    assert "synthetic" in (LIBRARY / "README.txt").read_text()
    dub = media.read_audio(LIBRARY / f"{episode.name}.dub.wav")
    assert abs(len(dub) / 16000 - episode.seconds) < 0.05
    assert np.abs(dub).max() > 0.1
    with np.load(LIBRARY / f"{episode.name}.npz") as truth:
        assert truth["kps"].shape == (len(episode.cast), len(episode.times), 5, 2)


@pytest.mark.parametrize("dub", [False, True], ids=["original", "dub"])
@pytest.mark.parametrize("episode", EPISODES, ids=lambda episode: episode.name)
def test_the_shipped_sound_is_what_the_plan_says(episode: Episode, dub: bool) -> None:
    pytest.importorskip("espeakng_loader")
    shipped = media.read_audio(LIBRARY / (f"{episode.name}.dub.wav" if dub else f"{episode.name}.mp4"))
    planned = mixed(speech_of(episode, dub))
    count = min(len(shipped), len(planned))
    assert count / 16000 > episode.seconds - 0.1
    assert np.corrcoef(shipped[:count], planned[:count])[0, 1] > 0.95
    assert np.sqrt((shipped**2).mean()) > 0.01
    assert (np.abs(shipped) > 0.99).mean() < 1e-4  # not clipped


def test_one_is_at_a_fractional_rate_one_has_two_speakers_one_has_a_title() -> None:
    assert any(episode.fps == Fraction(30000, 1001) for episode in EPISODES)
    assert any(len(episode.cast) == 2 for episode in EPISODES)
    assert any(not shot.people for episode in EPISODES for shot in episode.shots)
    dialogue = next(episode for episode in EPISODES if len(episode.cast) == 2)
    assert [turn.label for turn in read_rttm(LIBRARY / f"{dialogue.name}.rttm")] == [t.label for t in dialogue.turns]


def test_footage_is_labelled_and_its_people_are_in_one_split() -> None:
    entries = rows("footage/manifest.csv")
    assert tuple(entries[0]) == FOOTAGE_COLUMNS
    assert len(entries) == 2 * len(FOOTAGE_PEOPLE)
    speakers = {entry["speaker"]: entry["split"] for entry in entries}
    assert len(speakers) == len(FOOTAGE_PEOPLE)
    assert set(speakers.values()) == {"train", "val", "test"}
    for entry in entries:
        assert media.probe(LIBRARY / "footage" / entry["video"], need_audio=True).audio


def test_nobody_in_it_is_in_a_corpus_or_twice_in_it() -> None:
    cast = [member.seed for episode in EPISODES for member in episode.cast.values()]
    people = [*cast, *FOOTAGE_PEOPLE, PORTRAIT_SEED]
    assert len(set(people)) == len(people)
    assert min(people) >= FIRST_LIBRARY_SEED


def test_the_portrait_can_be_made_again(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    write_portrait(tmp_path, size=64)
    picture = cv2.imread(str(tmp_path / "portrait.png"))
    assert picture is not None
    assert picture.shape == (64, 64, 3)
    assert (LIBRARY / "portrait.png").is_file()
    assert len(media.read_audio(tmp_path / "portrait.wav")) == 48_000
