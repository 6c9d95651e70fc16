"""Who said no is never animated, nor in somebody else's turn; where consent is required, nobody else is either."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.faces import PACKS, FaceAnalyzer
from storage import media
from storage.errors import ConfigError, InputRejected, NotFound, UsageError
from tasks.animate import animate_image
from tasks.config import Config
from tasks.consent import Consent, Person, add_person, faces_checked, faces_in, load_consent
from tasks.consent_table import consent_key, read_entries, remove_entries, table_place
from tasks.dub import dub_video
from tasks.dubber import Dubber, render_key

FRAMES = 30


@pytest.fixture(scope="session")
def footage(library: Path) -> Path:
    """Twelve short takes, two of each of six people."""
    return library / "footage"


@pytest.fixture(scope="session")
def two(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second with two people side by side: number 1 on the left, number 2 on the right."""
    takes = [footage / name for name in ("person1_surprised.mp4", "person2_angry.mp4")]
    halves = [[frame for _, _, frame in media.iter_frames(take)][:FRAMES] for take in takes]
    frames = [np.hstack(pair) for pair in zip(*halves, strict=True)]
    sound = media.read_audio(takes[0], 16000, 0.0, FRAMES / 25)
    return media.write_video(tmp_path_factory.mktemp("two") / "two.mp4", frames, 25, sound)


@pytest.fixture(scope="session")
def cut(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of number 1 speaking, then one of number 2."""
    takes = [footage / name for name in ("person1_surprised.mp4", "person2_angry.mp4")]
    frames = [frame for take in takes for _, _, frame in islice(media.iter_frames(take), FRAMES)]
    sound = [media.read_audio(take, 16000, 0.0, FRAMES / 25) for take in takes]
    return media.write_video(tmp_path_factory.mktemp("cut") / "cut.mp4", frames, 25, np.concatenate(sound))


def stranger(*values: float) -> np.ndarray:
    """A unit vector [3]."""
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


def table(*people: tuple[str, bool, np.ndarray], require: bool = False) -> Consent:
    return Consent(tuple(Person(name, ok, face[None]) for name, ok, face in people), require, 0.5)


def test_the_nearest_person_decides_and_doubt_counts_for_the_one_who_said_no() -> None:
    consent = table(("Yes", True, stranger(1, 0, 0)), ("No", False, stranger(0, 1, 0)))
    assert (consent.verdict(stranger(1, 0.1, 0)).kind, consent.verdict(stranger(0.1, 1, 0)).speaker) == ("allow", "No")
    assert consent.verdict(stranger(0, 0, 1)).kind == "unknown"
    assert consent.verdict(stranger(1, 0.95, 0)).kind == "deny"  # nearer to Yes, but not clearly
    assert consent.verdict(stranger(1, 0.8, 0)).kind == "allow"
    several = np.stack([stranger(0, 0, 1), stranger(0.1, 1, 0)])
    assert consent.verdict(several).kind == "deny"  # one good view is enough


@pytest.mark.parametrize("require", [False, True])
def test_who_is_unknown_is_animated_unless_consent_is_required(require: bool) -> None:
    consent = table(("Yes", True, stranger(1, 0, 0)), ("No", False, stranger(0, 1, 0)), require=require)
    seen = {face: consent.verdict(stranger(*face)) for face in [(1, 0, 0), (0, 1, 0), (0, 0, 1)]}
    assert [consent.animates(verdict) for verdict in seen.values()] == [True, False, not require]
    assert consent.animates(consent.verdict(None)) is not require


@pytest.mark.slow
def test_studio_people_are_known_again_in_another_mood(footage: Path, config: Config) -> None:
    add_person(config, "One", False, [footage / "person1_happy.mp4"])
    add_person(config, "Zoë", True, [footage / "person0_sad.mp4"])
    quick = config.with_({"tracks.detect_every": 10})
    verdicts = [
        faces_checked(footage / name, quick)[0]
        for name in ("person1_surprised.mp4", "person0_neutral.mp4", "person2_angry.mp4", "person4_happy.mp4")
    ]
    assert [row["consent"] for row in verdicts] == ["deny", "allow", "unknown", "unknown"]
    assert [row["animated"] for row in verdicts] == [False, True, True, True]


@pytest.mark.slow
def test_a_denied_face_stays_as_it_was_filmed(
    cut: Path, footage: Path, library: Path, tmp_path: Path, config: Config, dubber: Dubber
) -> None:
    def changed(out: Path) -> list[float]:
        """The greatest mean change of a frame, of the first and of the second person."""
        pairs = zip(media.iter_frames(cut), media.iter_frames(out), strict=True)
        apart = [float(np.abs(a.astype(int) - b).mean()) for (_, _, a), (_, _, b) in pairs]
        return [max(apart[:FRAMES]), max(apart[FRAMES:])]

    track = library / "welcome.dub.wav"
    free = dub_video(cut, track, tmp_path / "free.mp4", config, dubber)
    assert min(changed(tmp_path / "free.mp4")) > 4  # without a table both are animated
    add_person(config, "One", False, [footage / "person1_happy.mp4"])
    bound = dub_video(cut, track, tmp_path / "bound.mp4", config, dubber)
    first, second = changed(tmp_path / "bound.mp4")
    assert first < 2 < 4 < second
    assert "is One, who denied consent" in bound["reason"]
    assert bound["render_id"] != free["render_id"]

    required = config.with_({"consent.require": True})
    with pytest.raises(InputRejected, match="nobody whom the consent table allows") as caught:
        dub_video(cut, track, tmp_path / "none.mp4", required, dubber)
    assert "One, who denied consent" in str(caught.value)
    assert not (tmp_path / "none.mp4").exists()
    add_person(config, "Two", True, [footage / "person2_fearful.mp4"])
    dub_video(cut, track, tmp_path / "allowed.mp4", required, dubber)
    first, second = changed(tmp_path / "allowed.mp4")
    assert first < 2 < 4 < second


def test_a_denied_portrait_is_not_animated(
    footage: Path, track: Path, tmp_path: Path, config: Config, dubber: Dubber
) -> None:
    take = footage / "person1_surprised.mp4"
    face = tmp_path / "face.png"
    cv2.imwrite(str(face), next(frame for _, _, frame in media.iter_frames(take))[..., ::-1])
    add_person(config, "One", False, [footage / "person1_happy.mp4"])
    with pytest.raises(InputRejected, match="One, who denied consent"):
        animate_image(face, track, tmp_path / "out.mp4", config, dubber)
    assert not (tmp_path / "out.mp4").exists()


def test_a_changed_table_makes_renders_anew(footage: Path, config: Config) -> None:
    def key(settings: Config = config) -> str:
        return render_key("v", "a", settings, "m")

    before = key()
    add_person(config, "One", False, [footage / "person1_happy.mp4"])
    denied = key()
    assert len({before, denied, key(config.with_({"consent.require": True}))}) == 3
    assert key() == denied
    add_person(config, "One", True, [footage / "person1_happy.mp4"])
    assert key() not in (before, denied)
    remove_entries(config, "One")
    assert key() == before  # an empty table restricts nothing


def test_the_table_is_kept_with_copies_that_go_with_the_person(footage: Path, tmp_path: Path, config: Config) -> None:
    gone = tmp_path / "One & co.mp4"
    gone.write_bytes((footage / "person1_happy.mp4").read_bytes())
    add_person(config, "Öne; 1", False, [gone, footage / "person1_surprised.mp4"])
    gone.unlink()
    add_person(config, "Two", True, [footage / "person2_angry.mp4"])
    place = table_place(config)
    assert place is not None
    entries = read_entries(place)
    assert [(entry.speaker, entry.consent) for entry in entries] == [("Öne; 1", "deny")] * 2 + [("Two", "allow")]
    assert all(Path(entry.source).is_file() for entry in entries)
    kept = {entry.name for entry in (place.parent / "consent").iterdir() if not entry.name.startswith(".")}
    assert len(kept) == 3
    remove_entries(config, "Öne; 1")
    left = {entry.name for entry in (place.parent / "consent").iterdir() if not entry.name.startswith(".")}
    assert left == {Path(entries[2].source).name}
    with pytest.raises(NotFound, match="nobody"):
        remove_entries(config, "nobody")
    with pytest.raises(UsageError, match="no such file"):
        add_person(config, "Three", False, [gone])
    with pytest.raises(UsageError, match="not kept by dubwright"):
        add_person(config.with_({"consent.table": str(place)}), "Two", True, [footage / "person2_angry.mp4"])


def test_tables_of_all_kinds_are_read_and_faces_kept(
    footage: Path, tmp_path: Path, config: Config, dubber: Dubber
) -> None:
    rows = [
        {"speaker": "One", "consent": "Deny", "source": str(footage / "person1_happy.mp4")},
        {"speaker": "One", "consent": "deny", "source": "one.mp4"},
    ]
    (tmp_path / "one.mp4").write_bytes((footage / "person1_surprised.mp4").read_bytes())
    place = tmp_path / "table.jsonl"
    place.write_text("\n".join(json.dumps(row) for row in rows))
    named = config.with_({"consent.table": str(place)})
    analyzer = dubber.experts.faces
    first = load_consent(named, analyzer)
    assert first is not None
    assert [(person.speaker, person.allowed) for person in first.people] == [("One", False)]
    assert len(first.people[0].faces) > 2
    noted = sorted((Path(named.root) / "cache" / "consent").glob("*.npy"))
    assert len(noted) == 2
    for note in noted:
        np.save(note, np.full((1, 512), 7, np.float32))
    again = load_consent(named, analyzer)
    assert again is not None
    assert (again.people[0].faces == 7).all()  # what was seen once is not looked at again


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("speaker,consent\nOne,deny\n", "row 1 lacks source"),
        ("speaker,consent,source\nOne,maybe,a.png\n", "row 1: consent is 'maybe'"),
        ("speaker,consent,source\nOne,deny,none.png\n", r"row 1 \(One\): .*none.png cannot be read"),
        ("speaker,consent,source\nOne,deny,a.png\nOne,allow,a.png\n", "row 2: One is both"),
        ("speaker,consent,source\nOne,deny,empty.mp4\n", r"row 1 \(One\): .*no face found"),
        ("speaker,consent,source\nOne,deny,two.mp4\n", r"row 1 \(One\): .*2 faces are in it"),
        ("speaker,consent,source\nOne,deny,broken.png\n", r"row 1 \(One\): .*broken.png"),
    ],
)
def test_a_table_that_cannot_be_trusted_stops_everything(
    two: Path, tmp_path: Path, config: Config, dubber: Dubber, text: str, says: str
) -> None:
    """A picture that went missing must not make its person unknown."""
    media.write_video(tmp_path / "empty.mp4", [np.full((64, 64, 3), 90, np.uint8)] * 3, 25)
    (tmp_path / "two.mp4").write_bytes(two.read_bytes())
    for name in ("a.png", "broken.png"):
        (tmp_path / name).write_bytes(b"no picture")
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(ConfigError, match=says):
        load_consent(config.with_({"consent.table": str(tmp_path / "table.csv")}), dubber.experts.faces)


def test_without_a_table_nothing_is_asked_and_none_may_be_missing(config: Config, dubber: Dubber) -> None:
    analyzer = dubber.experts.faces
    assert load_consent(config, analyzer) is None
    assert consent_key(config) == ""
    with pytest.raises(ConfigError, match="there is no consent table"):
        load_consent(config.with_({"consent.require": True}), analyzer)
    with pytest.raises(ConfigError, match="no such consent table"):
        load_consent(config.with_({"consent.table": "/nowhere/table.csv"}), analyzer)


def test_a_pack_without_a_recogniser_guesses_nobody(footage: Path, config: Config, dubber: Dubber) -> None:
    add_person(config, "One", False, [footage / "person1_happy.mp4"])
    detector = next((PACKS / "studio" / "faces").glob("det*.onnx"))
    with pytest.raises(ConfigError, match="no recogniser"):
        load_consent(config, FaceAnalyzer(detector))
    assert len(faces_in(footage / "person1_happy.mp4", config, dubber.experts.faces)) >= 3
