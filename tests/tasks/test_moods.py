"""What a dub is to feel over time: the ways to write it, mistakes named, and a voice that changes heard as it does."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.text import TextEncoder, load_text
from storage import media
from storage.errors import InputFailed
from tasks.config import Config
from tasks.emotion_degrees import in_degree
from tasks.emotion_phrases import FREE_TEXTS
from tasks.experts import Experts, load_experts
from tasks.moods import Moods


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return load_text("studio")


def test_one_text_holds_all_the_time() -> None:
    moods = Moods.read("very angry")
    assert moods.at(0.0) == moods.at(3600.0) == "very angry"
    assert (moods.key, moods.caption, moods.texts) == ("very angry", "very angry", ("very angry",))


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_nothing_keeps_the_faces_own(nothing: str | None) -> None:
    moods = Moods.read(nothing)
    assert (moods.at(1.0), moods.key, moods.caption, moods.main(9)) == (None, None, None, None)


def test_a_text_with_times_changes_at_them() -> None:
    moods = Moods.read("0: calm | 12.5: very angry | 1:05: | 1:01:00.5: sad (1)")
    assert [moods.at(t) for t in (0, 12.49, 12.5, 64.9, 65, 3660, 3660.5)] == [
        "calm", "calm", "very angry", "very angry", None, None, "sad",
    ]  # fmt: skip
    assert moods.parts[-1].intensity == 1
    assert moods.main(70) == "very angry"
    assert moods.key is not None
    assert moods.key != Moods.read("0: calm | 12.6: very angry | 1:05: | 1:01:00.5: sad (1)").key


def test_before_the_first_the_first_holds_and_repeats_change_nothing() -> None:
    moods = Moods.read("4: happy | 6: happy | 9: sad")
    assert (moods.at(0), len(moods.parts)) == ("happy", 2)


def test_a_text_with_colons_and_bars_is_a_text() -> None:
    assert Moods.read("note: 3: a crowd | a choir").at(5) == "note: 3: a crowd | a choir"


def test_tables_say_when_what_and_how_strongly(tmp_path: Path) -> None:
    table = tmp_path / "moods.csv"
    table.write_text("start_s,end_s,emotion,intensity\n8,10,angry,3\n0,,happy,\n0:05,,,\n")
    moods = Moods.read(table)
    assert [moods.at(t) for t in (0, 4.9, 5, 8, 9.9, 10)] == ["happy", "happy", None, "angry", "angry", None]
    assert [part.intensity for part in moods.parts] == [None, None, 3, None]
    lines = tmp_path / "moods.jsonl"
    lines.write_text('{"start_s": 0, "emotion": "sad"}\n{"start_s": 2.5, "emotion": "auto"}\n')
    assert Moods.read(str(lines)).at(3) == "auto"


def test_cues_hold_from_their_start_to_their_end(tmp_path: Path) -> None:
    cues = tmp_path / "moods.vtt"
    cues.write_text(
        "WEBVTT\n\n00:02.000 --> 00:04.000 align:start\n<b>angry</b>\n(3)\n\n00:04.020 --> 00:05.000\nsad\n"
    )
    moods = Moods.read(cues)
    assert [moods.at(t) for t in (0, 2, 3.9, 4.02, 4.9, 5)] == [None, "angry", "angry", "sad", "sad", None]
    assert moods.parts[1].intensity == 3
    subs = tmp_path / "moods.srt"
    subs.write_text("1\n00:00:00,000 --> 00:00:01,500\nhappy\n")
    assert [Moods.read(subs).at(t) for t in (0, 1.4, 1.5)] == ["happy", "happy", None]


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("m.csv", "start_s,emotion\n0,calm\nsoon,sad\n", "row 2: 'soon' is no time"),
        ("m.csv", "start_s,emotion,intensity\n0,calm,5\n", "row 1: '5' is no intensity"),
        ("m.csv", "time,emotion\n0,calm\n", "unknown column time"),
        ("m.csv", "start_s,emotion\n,calm\n", "row 1 has no start_s"),
        ("m.csv", "start_s,emotion\n3,calm\n3,sad\n", "row 1 and row 2 both begin at 3 s"),
        ("m.csv", "start_s,emotion,end_s\n3,calm,2\n", "row 1 ends before it begins"),
        ("m.jsonl", "{\n", "line 1"),
        ("m.vtt", "WEBVTT\n\n1 --> 2\nsad\n", "line 3 is no time of a cue"),
        ("m.srt", "sad\n", "has no cues"),
    ],
)
def test_mistakes_in_a_file_are_named(tmp_path: Path, name: str, text: str, named: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputFailed, match=named):
        Moods.read(tmp_path / name)


def test_mistakes_in_a_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputFailed, match="part 2 has no time"):
        Moods.read("0: calm | angry")
    with pytest.raises(InputFailed, match=r"nowhere\.vtt: cannot be read"):
        Moods.read(tmp_path / "nowhere.vtt")
    with pytest.raises(InputFailed, match="no emotion"):
        Moods.read("", 2)
    with pytest.raises(InputFailed, match="is no intensity"):
        Moods.read("sad", 4)


def test_an_intensity_is_read_as_asked_whatever_the_text(encoder: TextEncoder) -> None:
    texts = [text for emotion, group in FREE_TEXTS.items() if emotion != "neutral" for text in group]
    texts += ["happy", "in tears", "furious", "surprised", "afraid", "disgusted", "contemptuous"]
    kept = 0
    for text in texts:
        meant = encoder.emotion_of(text).emotion
        for level in (1, 2, 3):
            worded = in_degree(text, level, encoder)
            reading = encoder.emotion_of(worded)
            assert (reading.emotion, reading.intensity) == (meant, 0 if meant == "neutral" else level) or (
                meant == "neutral" and worded == text
            )
            kept += text.rstrip(" .") in worded
    assert kept / (3 * len(texts)) >= 0.8
    assert encoder.emotion_of(in_degree("furious", 0, encoder)).emotion == "neutral"
    assert in_degree("angry", 3, None) == "extremely angry"


def test_an_intensity_for_all_yields_to_one_of_its_own(encoder: TextEncoder) -> None:
    experts = _only_text(encoder)
    moods = Moods.read("0: angry | 5: sad (1) | 9:", 3).resolved("not listened to", experts)
    readings = [encoder.emotion_of(text) for text in moods.texts]
    assert [(one.emotion, one.intensity) for one in readings] == [("angry", 3), ("sad", 1)]
    assert moods.at(10) is None
    assert Moods.read("angry").resolved("not listened to", experts).at(0) == "angry"


def test_auto_follows_a_voice_that_changes(config: Config, tmp_path: Path) -> None:
    """Twenty seconds of anger, then twenty of sorrow, as the studio speaks them."""
    from tasks.studio.identity import sample_identity
    from tasks.studio.takes import passage, voice_of

    experts = load_experts(config)
    assert experts.voice_emotion is not None
    rng = np.random.default_rng(5)
    voice = voice_of(sample_identity(910_003), "en")
    parts = [passage(rng, voice, emotion, 3, 20.0, "test").window(0, 20.0).audio for emotion in ("angry", "sad")]
    path = media.write_audio(tmp_path / "voice.wav", np.concatenate(parts))
    moods = Moods.read("auto").resolved(path, experts)
    assert "furiously" in str(moods.at(5)) or "angrily" in str(moods.at(5))
    assert "heartbroken" in str(moods.at(35)) or "sadly" in str(moods.at(35))
    (change,) = [part.start_s for part in moods.parts[1:]]
    assert abs(change - 20) <= 3
    later = Moods.read("0: calm | 30: auto", None).resolved(path, experts)
    assert later.at(29.9) == "calm"
    assert "sad" in str(later.at(36)) or "heartbroken" in str(later.at(36))


def test_auto_without_a_recogniser_or_in_silence(config: Config, tmp_path: Path, encoder: TextEncoder) -> None:
    path = media.write_audio(tmp_path / "hush.wav", np.zeros(48_000, np.float32))
    assert Moods.read("auto").resolved(path, _only_text(encoder)).parts[0].text is None
    assert "calmly" in str(Moods.read("auto").resolved(path, load_experts(config)).at(1))


def test_a_key_survives_json() -> None:
    key = Moods.read("0: calm | 5: sad (2)").key
    assert key is not None
    assert json.loads(key) == [[0.0, "calm", None], [5.0, "sad", 2.0]]


def _only_text(encoder: TextEncoder) -> Experts:
    from tasks.config import load_config
    from tasks.experts import load_faces

    return Experts(load_faces(load_config()), text=encoder)
