"""A file of media is read, and nothing that it names: no host, and no other file of this machine."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from pathlib import Path

import pytest

from storage import media
from storage.errors import DubwrightError
from storage.layout import Root
from storage.signing import Ingredient, _is_signed
from storage.verifying import UNSIGNED, verify_file
from tests.security.conftest import Receiver

LISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5.0,\n{address}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{address}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" mediaPresentationDuration="PT5S">'
    "<Period><AdaptationSet><Representation id='1' mimeType='video/mp4' bandwidth='1'><BaseURL>{address}</BaseURL>"
    "</Representation></AdaptationSet></Period></MPD>",
    "image list": "{address}\n",
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_of_other_files_is_no_film(kind: str, receiver: Receiver, tmp_path: Path, episode: Path) -> None:
    theirs = Path(shutil.copy(episode, tmp_path / "theirs.mp4"))
    host = f"127.0.0.1:{receiver.port}"
    addresses = (f"http://{host}/film.mp4", f"tcp://{host}", str(theirs), f"file:{theirs}", f"concat:{theirs}")
    for name, address in itertools.product(
        ("film.mp4", "film.m3u8", "film.ffconcat", "film.sdp", "film.mpd"), addresses
    ):
        (tmp_path / name).write_text(LISTS[kind].format(address=address, port=receiver.port))
        for read in (media.probe, lambda path: list(media.iter_frames(path)), media.read_audio):
            with pytest.raises(DubwrightError):
                read(tmp_path / name)
    assert receiver.knocks == 0


def test_a_name_is_a_file_and_no_address(
    receiver: Receiver, episode: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    host = f"127.0.0.1:{receiver.port}"
    others = (f"concat:{episode}", f"subfile,,start,0,end,0,,:{episode}", f"async:{episode}", f"cache:{episode}")
    for name in (f"http://{host}/a.mp4", f"tcp://{host}", "pipe:0", "data:x", *others):
        with pytest.raises(DubwrightError):
            media.probe(name)
    assert receiver.knocks == 0
    odd = Path(shutil.copy(episode, tmp_path / "http:odd.mp4"))
    assert media.probe(odd.name).duration_s == media.probe(episode).duration_s


def with_external_data(film: Path, out: Path, other: str) -> Path:
    """An MP4 whose `dref` box says that its samples lie in another file (QuickTime's `url `, not self-contained)."""
    data = film.read_bytes()
    at = data.index(b"dref")
    size = int.from_bytes(data[at - 4 : at], "big")
    entry = b"url " + bytes(4) + other.encode() + b"\0"  # flags 0: elsewhere
    entry = (len(entry) + 4).to_bytes(4, "big") + entry
    box = (len(entry) + 16).to_bytes(4, "big") + b"dref" + bytes(4) + (1).to_bytes(4, "big") + entry
    grown = len(box) - size
    changed = bytearray(data[: at - 4] + box + data[at - 4 + size :])
    for name in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        place = changed.rindex(name, 0, changed.index(b"dref"))
        length = int.from_bytes(changed[place - 4 : place], "big") + grown
        changed[place - 4 : place] = length.to_bytes(4, "big")
    out.write_bytes(bytes(changed))
    return out


@pytest.mark.parametrize("other", ["http://127.0.0.1:{port}/film.mp4", "file:///etc/passwd", "/etc/passwd"])
def test_samples_in_another_file_are_not_fetched(other: str, receiver: Receiver, tmp_path: Path, episode: Path) -> None:
    film = with_external_data(episode, tmp_path / "film.mp4", other.format(port=receiver.port))
    with contextlib.suppress(DubwrightError):
        media.probe(film)
        list(media.iter_frames(film))
    assert receiver.knocks == 0


def test_a_manifest_elsewhere_is_not_fetched(receiver: Receiver, tmp_path: Path, episode: Path, root: Root) -> None:
    """C2PA lets a file say by XMP where its manifest lies; asking there would tell somebody that it is looked at."""
    address = f"http://127.0.0.1:{receiver.port}/manifest.c2pa"
    xmp = (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        f'xmlns:dcterms="http://purl.org/dc/terms/" dcterms:provenance="{address}"/></rdf:RDF></x:xmpmeta>'
        '<?xpacket end="w"?>'
    ).encode()
    body = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC") + xmp
    film = tmp_path / "film.mp4"
    film.write_bytes(episode.read_bytes() + (len(body) + 8).to_bytes(4, "big") + b"uuid" + body)
    assert verify_file(film, root).status == UNSIGNED
    assert not _is_signed(Ingredient("source", film.name, "0" * 64, str(film)))
    assert receiver.knocks == 0
