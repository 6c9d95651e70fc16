"""Corpora as they lie on disk: labels from their real names, and a reason for every name that is none of theirs."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import UsageError
from tasks.corpora import crema_d, mead, ravdess
from tasks.corpora.reading import Reading, read_tree
from tasks.corpora.registry import LAYOUTS, recognise
from tasks.probe import find_sources
from tasks.splits import assign_splits
from tasks.studio.controls import EMOTIONS
from tests.tasks.corpora.trees import COMPANION, ITEM, MISSING, PASSED, REFUSED, TREES, plant


def media(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".mp4", ".flv", ".wav", ".m4a"))


def ends(reading: Reading) -> dict[str, list[str]]:
    """File → how it ended, in every way in which it did."""
    found: dict[str, list[str]] = {}
    for source in reading.sources:
        found.setdefault(source.uri, []).append(ITEM if source.refused is None else REFUSED)
    for file in reading.companions:
        found.setdefault(str(file), []).append(COMPANION)
    for file in reading.passed:
        found.setdefault(str(file), []).append(PASSED)
    return found


@pytest.mark.parametrize("name", TREES)
def test_each_file_is_read_as_its_corpus_names_it(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    reading = read_tree(layout, plant(tmp_path, TREES[name]))
    sources = {source.uri: source for source in reading.sources}
    for relative, (end, expected) in TREES[name].items():
        file = str(tmp_path / relative)
        assert ends(reading)[file] == [end], relative
        if end == ITEM:
            assert {column: getattr(sources[file], column) for column in expected} == expected, relative
            assert sources[file].licence == layout.licence and sources[file].consent == layout.consent
        elif end == COMPANION:
            assert reading.companions[Path(file)] == tmp_path / expected
        else:
            assert expected in (sources[file].refused if end == REFUSED else reading.passed[Path(file)])
    for words in MISSING[name]:
        assert any(words in line for line in reading.missing), (words, reading.missing)


@pytest.mark.parametrize("name", TREES)
def test_a_corpus_is_recognised_by_its_tree(name: str, tmp_path: Path) -> None:
    good = {path: end for path, end in TREES[name].items() if end[0] in (ITEM, COMPANION)}
    plant(tmp_path, good)
    plant(tmp_path, ["strange.mp4"])
    found = recognise(media(tmp_path))
    assert found is not None and found.name == name
    sources = find_sources([tmp_path])
    assert [Path(source.uri).name for source in sources if source.refused] == ["strange.mp4"]


def test_sounds_that_lie_apart_go_with_their_pictures(tmp_path: Path) -> None:
    reading = read_tree(LAYOUTS["mead"], plant(tmp_path, TREES["mead"]))
    sound = str(tmp_path / "M003/audio/angry/level_1/001.m4a")
    assert [source.uri.split("video/")[1] for source in reading.sources if source.audio == sound] == [
        "front/angry/level_1/001.mp4", "left_30/angry/level_1/001.mp4",
    ]  # fmt: skip
    reading = read_tree(LAYOUTS["ravdess"], plant(tmp_path / "r", TREES["ravdess"]))
    silent = next(source for source in reading.sources if source.uri.endswith("02-01-06-01-02-01-24.mp4"))
    assert silent.sound.endswith("03-01-06-01-02-01-24.wav")


def test_ordinary_folders_and_manifests_stay_what_they_were(tmp_path: Path) -> None:
    plant(tmp_path / "own", ["talk_01.mp4", "001.mp4", "Obama_000.mp4", "1001_IEO_ANG_HI.mp4", "x/00001.mp4"])
    assert recognise(media(tmp_path / "own")) is None
    plain = find_sources([tmp_path / "own"])
    assert plain == find_sources([tmp_path / "own"], "folder") and len(plain) == 5
    plant(tmp_path / "corpus", ["1001_IEO_ANG_HI.mp4"])
    assert find_sources([tmp_path / "corpus"])[0].emotion == "angry"
    assert find_sources([tmp_path / "corpus"], "folder")[0].emotion is None
    (tmp_path / "corpus" / "manifest.csv").write_text("video,emotion\n1001_IEO_ANG_HI.mp4,sad\n")
    assert find_sources([tmp_path / "corpus"])[0].emotion == "sad"
    assert recognise([]) is None


def test_a_layout_that_is_told_holds_for_every_folder(tmp_path: Path) -> None:
    sources = find_sources([plant(tmp_path, ["Radio11_0.mp4", "mine.mp4"])], "hdtf")
    assert [(source.speaker, source.refused is None) for source in sources] == [("hdtf:Radio11", True), (None, False)]
    with pytest.raises(UsageError, match="nowhere"):
        find_sources([tmp_path], "nowhere")


def test_labels_are_of_the_eight_or_said_to_have_no_counterpart() -> None:
    ours = {label for module in (mead, crema_d, ravdess) for label in module.EMOTIONS.values()}
    assert ours - set(EMOTIONS) == {"calm"}
    assert set(mead.EMOTIONS.values()) == set(EMOTIONS)


def test_nobody_is_in_two_splits_and_the_corpora_do_not_share_speakers(tmp_path: Path) -> None:
    speakers: dict[str, set[str]] = {}
    clips = []
    for name, tree in TREES.items():
        for source in read_tree(LAYOUTS[name], plant(tmp_path / name, tree)).sources:
            if source.refused is None:
                clips.append({"source_id": source.uri, "speaker": source.speaker, "split": source.split})
                speakers.setdefault(str(source.speaker).split(":")[0], set()).add(str(source.speaker))
    assert set(speakers) == set(TREES)
    splits = assign_splits(clips, (0.4, 0.3, 0.3), 0.35)
    of_speaker: dict[str, set[str]] = {}
    for clip in clips:
        of_speaker.setdefault(str(clip["speaker"]), set()).add(splits[str(clip["source_id"])])
    assert all(len(found) == 1 for found in of_speaker.values())
    assert of_speaker["voxceleb2:id00017"] == {"test"} and of_speaker["hdtf:Radio11"] == {"train"}


WORDS = st.sampled_from(
    ["M003", "W009", "video", "audio", "front", "angry", "neutral", "level_1", "level_9", "id00012", "id10001", "dev",
     "test", "mp4", "21Uxsk56VDQ", "Actor_01", "Actor_02", "VideoFlash", ".hidden", "ä ß", "x" * 40]
)  # fmt: skip
STEMS = st.one_of(
    st.sampled_from(
        ["001", "00001", "1001_IEO_ANG_HI", "1001_IEO_ANG", "WDA_BarackObama_000", "AdamSchiff", "RD_Radio1_00", "",
         "01-01-03-02-01-01-01", "02-01-03-02-01-01-01", "03-01-03-02-01-01-01", "01-02-03-02-01-01-01"]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cs"]), max_size=20),
)  # fmt: skip
SUFFIXES = st.sampled_from([".mp4", ".MP4", ".flv", ".wav", ".m4a", ".mp3", ".txt", ".zip", ".part", ".npy", ""])
PATHS = st.builds(
    lambda folders, stem, suffix: "/".join([*folders, (stem.strip(".") or "_") + suffix]),
    st.lists(WORDS, max_size=6), STEMS, SUFFIXES,
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(names=st.sets(PATHS, max_size=12), known=st.sets(st.sampled_from(sorted(TREES["ravdess"] | TREES["mead"]))))
def test_every_file_ends_in_exactly_one_way(names: set[str], known: set[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in sorted(names | known, key=len):
            file = folder / name
            if not file.exists() and not any(parent.is_file() for parent in file.parents):
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(b"")
        there = {str(file) for file in folder.rglob("*") if file.is_file()}
        for layout in LAYOUTS.values():
            reading = read_tree(layout, folder)
            found = ends(reading)
            assert set(found) == there
            assert all(len(end) == 1 for end in found.values())
            items = {source.uri for source in reading.sources if source.refused is None}
            assert all(str(film) in items for film in reading.companions.values())
            assert all(source.speaker for source in reading.sources if source.refused is None)
