"""Episodes: turns, cuts and titles where the plan says, sound and lips of the same speaker, truth that fits."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tasks.speakers import read_rttm
from tasks.studio.episodes import (
    Episode,
    EpisodeTruth,
    Member,
    Shot,
    Turn,
    mixed,
    render_episode,
    rttm,
    speech_of,
    title_card,
)
from tasks.studio.library import EPISODES
from tasks.studio.speech import SAMPLE_RATE

PLAN = Episode(
    "test", {"a": Member(5, ("happy", 2)), "b": Member(8)},
    (Turn("a", 0.5, 2.9), Turn("b", 3.1, 5.4)),
    (Shot(0.0, 0.5, (), "TITLE"), Shot(0.5, 3.0, ("a", "b")), Shot(3.0, 6.0, ("b",))),
    "en", "fr", size=(96, 54), fps=Fraction(1), seed=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def rendered() -> tuple[list[np.ndarray], EpisodeTruth]:
    pytest.importorskip("espeakng_loader")
    return render_episode(PLAN, compile_field=False)


def test_times_follow_the_rate() -> None:
    film = replace(PLAN, fps=Fraction(30000, 1001))
    assert len(film.times) == 179
    assert film.times[30] == pytest.approx(1.001)


def test_frames_and_truth_have_the_plans_length(rendered: tuple[list[np.ndarray], EpisodeTruth]) -> None:
    frames, truth = rendered
    assert len(frames) == len(truth.pts) == 6
    assert all(frame.shape == (54, 96, 3) and frame.dtype == np.uint8 for frame in frames)


def test_truth_knows_who_is_in_view_and_who_speaks(rendered: tuple[list[np.ndarray], EpisodeTruth]) -> None:
    _, truth = rendered
    seen = np.isfinite(truth.kps[:, :, 0, 0])
    np.testing.assert_array_equal(truth.shot, [0] + [1] * 2 + [2] * 3)
    np.testing.assert_array_equal(seen[0], truth.shot == 1)
    np.testing.assert_array_equal(seen[1], truth.shot >= 1)
    assert truth.speaking[0] == -1
    assert set(truth.speaking[truth.pts < 3]) == {-1, 0}
    np.testing.assert_array_equal(truth.speaking[2:], [0, -1, 1, 1])


def test_two_people_sit_side_by_side(rendered: tuple[list[np.ndarray], EpisodeTruth]) -> None:
    frames, truth = rendered
    wide = truth.shot == 1
    assert truth.kps[0, wide, :, 0].max() < 48 < truth.kps[1, wide, :, 0].min()
    assert truth.kps[:, wide].min() > 0
    # both are painted: skin differs from the backdrop at both noses
    for person in (0, 1):
        x, y = truth.kps[person, 2, 2].astype(int)
        corner = frames[2][1, 1].astype(int)
        assert np.abs(frames[2][y, x].astype(int) - corner).max() > 20


def test_each_speaks_in_its_turns_only() -> None:
    pytest.importorskip("espeakng_loader")
    spoken = speech_of(PLAN)
    for label, (start, end) in {"a": (0.5, 2.9), "b": (3.1, 5.4)}.items():
        audio = spoken[label].audio
        assert len(audio) == 6 * SAMPLE_RATE
        inside = audio[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)]
        assert (inside**2).sum() == pytest.approx((audio**2).sum())
        assert (inside**2).mean() > 1e-4
    assert np.abs(mixed(spoken)).max() <= 1


def test_the_dub_has_the_turns_but_other_words_in_the_other_language() -> None:
    pytest.importorskip("espeakng_loader")
    original, dub = speech_of(PLAN), speech_of(PLAN, dub=True)
    for label in PLAN.labels:
        assert original[label].voice.language == "en"
        assert dub[label].voice.language == "fr"
        assert original[label].text != dub[label].text
    assert not np.allclose(mixed(original), mixed(dub))


CROWDED = replace(
    PLAN,
    cast={"a": Member(8, ("sad", 1)), "b": Member(8, ("sad", 1))},
    turns=tuple(Turn("ab"[place % 2], 2.3 * place, 2.3 * place + 2.2) for place in range(8)),
    shots=(Shot(0.0, 18.4, ("a",)),),
)


@pytest.mark.parametrize("dub", [False, True], ids=["original", "dub"])
@pytest.mark.parametrize("episode", [*EPISODES, CROWDED], ids=lambda episode: episode.name)
def test_no_sentence_is_said_twice_in_an_episode(episode: Episode, dub: bool) -> None:
    pytest.importorskip("espeakng_loader")
    said = [
        sentence.strip().lower()
        for speech in speech_of(episode, dub).values()
        for sentence in re.split(r"(?<=[.!?])\s", speech.text)
    ]
    assert len(said) >= len(episode.turns)
    assert len(set(said)) == len(said), said


def test_rttm_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "turns.rttm"
    path.write_text(rttm(PLAN))
    assert [(turn.label, turn.start_s, turn.end_s) for turn in read_rttm(path)] == [
        ("a", 0.5, pytest.approx(2.9)),
        ("b", 3.1, pytest.approx(5.4)),
    ]


def test_a_turn_too_short_for_any_sentence_is_refused() -> None:
    pytest.importorskip("espeakng_loader")
    with pytest.raises(ValueError, match="give the turn more time"):
        speech_of(replace(PLAN, turns=(Turn("a", 0.0, 0.3),)))


def test_title_cards_carry_letters() -> None:
    card, plain = title_card((96, 54), "NEWS", 1), title_card((96, 54), "", 1)
    assert card.max() > 150 > plain.max()
