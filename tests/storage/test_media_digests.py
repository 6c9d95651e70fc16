"""One hash for what a file shows, one for what it sounds like."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import pytest

from storage import media
from storage.errors import InputFailed
from storage.ids import file_sha256
from storage.media_digests import NO_TRACK
from tests.storage.footage import clicks, make, picture


def remux(source: Path, out: Path, sound: Path | None = None, later: Fraction = Fraction(0)) -> Path:
    """The same packets in another file: with the sound of another file, or shown `later` by so many seconds."""
    with av.open(str(source)) as film, av.open(str(sound or source)) as other, av.open(str(out), "w") as container:
        tracks = [(film, film.streams.video[0]), (other, other.streams.audio[0])]
        targets = [container.add_stream_from_template(stream) for _, stream in tracks]
        container.metadata["title"] = "the same again"
        for (place, stream), target in zip(tracks, targets, strict=True):
            for packet in place.demux(stream):
                if packet.size:
                    shift = round(later / packet.time_base) if stream.type == "video" else 0
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = target
                    container.mux(packet)
    return out


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("digests")
    first = make(place / "a.mp4", frames=20, sounds=[clicks(0.8, [0.2])])
    return remux(first, place / "film.mp4")


def test_new_sound_leaves_the_picture(film: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "b.mp4", frames=5, sounds=[clicks(0.8, [0.5])])
    again = remux(film, tmp_path / "again.mp4")
    dubbed = remux(film, tmp_path / "dubbed.mp4", sound=other)
    assert len({file_sha256(path) for path in (film, dubbed)}) == 2
    shown, heard = media.track_digests(film)
    assert media.track_digests(again) == (shown, heard)
    assert media.track_digests(dubbed)[0] == shown
    assert media.track_digests(dubbed)[1] != heard


def test_another_time_or_picture_is_another_digest(film: Path, tmp_path: Path) -> None:
    shown, heard = media.track_digests(film)
    late = remux(film, tmp_path / "late.mp4", later=Fraction(1, 5))
    assert media.track_digests(late)[0] != shown
    assert media.track_digests(late)[1] == heard
    other = make(tmp_path / "other.mp4", frames=20, pictures=[picture(3)] * 20, sounds=[clicks(0.8, [0.2])])
    assert media.track_digests(other)[0] != shown
    turned = make(tmp_path / "turned.mp4", frames=20, rotation=(90, False, False), sounds=[clicks(0.8, [0.2])])
    straight = make(tmp_path / "straight.mp4", frames=20, sounds=[clicks(0.8, [0.2])])
    assert media.track_digests(turned)[0] != media.track_digests(straight)[0]
    assert media.track_digests(turned)[1] == media.track_digests(straight)[1]


def test_a_missing_track_has_a_digest_too(tmp_path: Path) -> None:
    silent = make(tmp_path / "silent.mp4", frames=5)
    assert media.track_digests(silent)[1] == NO_TRACK
    sound = media.write_audio(tmp_path / "only.wav", clicks(0.5, [0.2], 16000))
    shown, heard = media.track_digests(sound)
    assert shown == NO_TRACK != heard
    cv2.imwrite(str(tmp_path / "still.png"), picture(1))
    shown, heard = media.track_digests(tmp_path / "still.png")
    assert heard == NO_TRACK != shown


def test_what_cannot_be_read_to_its_end_is_told_apart_by_its_bytes(film: Path, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("cut.mp4", "text.mp4")]
    paths[0].write_bytes(film.read_bytes()[:900])
    paths[1].write_text("no film at all")
    digests = [value for path in paths for value in media.track_digests(path)]
    assert len(set(digests)) == 4 and all(len(value) == 20 for value in digests)
    with pytest.raises(InputFailed, match="No such file"):
        media.track_digests(tmp_path / "nowhere.mp4")
