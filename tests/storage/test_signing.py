"""What is rendered carries a manifest that says what it is; a changed byte anywhere in it is found."""

from __future__ import annotations

import datetime
import json
import multiprocessing
import resource
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import c2pa
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from storage import media
from storage.errors import ConfigError, InputFailed, StorageFull, UsageError
from storage.signing import COMPOSITE, Ingredient, Seal, check_certificate
from storage.signing_boxes import manifest_boxes, top_boxes
from storage.signing_keys import load_certificate, local_certificate
from storage.verifying import CHANGED, UNKNOWN, UNSIGNED, VALID, verify_file
from tests.storage.footage import SOUND_RATE, clicks, index_in, make, picture

FACTS = {"render_id": "r1", "model_id": "m1", "dataset_id": "talks@1", "seed": 7, "nothing": None}
MADE_FROM = (Ingredient("source", "täglich.mp4", "a" * 64), Ingredient("track", "dub.wav", "b" * 64))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a certificate of its own."""
    folder = tmp_path_factory.mktemp("root")
    local_certificate(folder)
    return folder


@pytest.fixture
def seal(root: Path) -> Seal:
    return Seal(load_certificate(root), FACTS, MADE_FROM, agent="v1")


def signed(path: Path, seal: Seal) -> Path:
    """A film of four pictures and some sound."""
    sound = np.zeros(4000, np.float32)
    return media.write_video(path, [picture(i) for i in range(4)], 25, sound, seal=seal.seal)


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov", ".mkv"])
def test_a_file_says_what_it_is_and_who_signed_it(tmp_path: Path, root: Path, seal: Seal, suffix: str) -> None:
    path = signed(tmp_path / f"out{suffix}", seal)
    found = verify_file(path, root)
    assert (found.status, found.valid, found.problems) == (VALID, True, ())
    assert (found.signer, found.known) == ("dubwright local signer", "this root")
    assert found.synthetic == COMPOSITE
    told = {name: value for name, value in FACTS.items() if value is not None}
    assert found.facts == {**told, "generator": "dubwright", "synthetic": True, "kind": "dub"}
    assert [(entry["role"], entry["title"], entry["sha256"]) for entry in found.ingredients] == [
        ("source", "täglich.mp4", "a" * 64), ("track", "dub.wav", "b" * 64),
    ]  # fmt: skip
    left = {entry.name for entry in tmp_path.iterdir()}
    assert left == ({"out.mkv", "out.c2pa"} if suffix == ".mkv" else {path.name})


def test_any_c2pa_reader_finds_it_in_order(tmp_path: Path, root: Path, seal: Seal) -> None:
    path = signed(tmp_path / "out.mp4", seal)
    anchors = {"trust": {"user_anchors": (root / "keys" / "certificate.pem").read_text()}}
    with c2pa.Context.from_dict(anchors) as context, c2pa.Reader(str(path), context=context) as reader:
        assert reader.get_validation_state() == "Trusted"
        manifest = reader.get_active_manifest()
        results = reader.get_validation_results()
    assert results is not None
    assert manifest is not None
    assert results["activeManifest"]["failure"] == []
    actions = next(e for e in manifest["assertions"] if e["label"] == "c2pa.actions.v2")["data"]["actions"]
    assert [entry["action"] for entry in actions] == ["c2pa.opened", "c2pa.edited"]
    assert actions[1]["digitalSourceType"] == COMPOSITE
    assert [entry["relationship"] for entry in manifest["ingredients"]] == ["parentOf", "inputTo"]


def test_a_portrait_is_created_not_edited(tmp_path: Path, root: Path) -> None:
    made_from = (Ingredient("portrait", "face.png", "c" * 64), MADE_FROM[1])
    path = signed(tmp_path / "a.mp4", Seal(load_certificate(root), FACTS, made_from, "animate"))
    assert verify_file(path, root).facts["kind"] == "animate"
    with c2pa.Reader(str(path)) as reader:
        manifest = reader.get_active_manifest() or {}
    actions = next(e for e in manifest["assertions"] if e["label"] == "c2pa.actions.v2")["data"]["actions"]
    assert [(entry["action"], entry["digitalSourceType"]) for entry in actions] == [("c2pa.created", COMPOSITE)]


def _flips(count: int) -> Iterator[tuple[int, int]]:
    """(place, bit) all over a file of `count` bytes, every byte of small ones."""
    generator = np.random.default_rng(count)
    places = range(count) if count < 500 else generator.choice(count, 60, replace=False)
    for place in places:
        yield int(place), 1 << int(generator.integers(8))


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv", "out.c2pa"])
def test_no_byte_can_be_changed(tmp_path: Path, root: Path, seal: Seal, name: str) -> None:
    """All over the file; of MP4 also through its manifest and in every box."""
    film = signed(tmp_path / ("out.mkv" if name == "out.c2pa" else name), seal)
    path = tmp_path / name
    whole = path.read_bytes()
    flips = list(_flips(len(whole)))
    if name == "out.mp4":
        manifest = manifest_boxes(path)[0]
        flips += [(place, 1 << place % 8) for place in range(0, manifest.end, 37)]
        flips += [(at, 1) for box in top_boxes(path) for at in (box.start + 3, box.start + 4, box.body, box.end - 1)]
    for place, bit in flips:
        changed = bytearray(whole)
        changed[place] ^= bit
        path.write_bytes(changed)
        assert verify_file(film, root).status in (CHANGED, UNSIGNED), (place, bit)
    path.write_bytes(whole)
    assert verify_file(film, root).valid


@pytest.mark.parametrize("change", ["cut", "longer", "another end", "two manifests"])
def test_a_cut_or_lengthened_file_is_refused(tmp_path: Path, root: Path, seal: Seal, change: str) -> None:
    path = signed(tmp_path / "out.mp4", seal)
    whole = path.read_bytes()
    box = manifest_boxes(path)[0]
    changed = {
        "cut": whole[:-100], "longer": whole + struct.pack(">I4s", 8, b"free"), "another end": whole + b"\0",
        "two manifests": whole + whole[box.start : box.end],
    }[change]  # fmt: skip
    path.write_bytes(changed)
    assert verify_file(path, root).status == CHANGED


def test_a_manifest_of_another_file_is_refused(tmp_path: Path, root: Path, seal: Seal) -> None:
    signed(tmp_path / "a.mkv", seal)
    other = media.write_video(tmp_path / "b.mkv", [picture(9)] * 4, 25, seal=seal.seal)
    (tmp_path / "a.c2pa").replace(other.with_suffix(".c2pa"))
    assert verify_file(other, root).status == CHANGED


def test_unsigned_files_and_unknown_signers_are_told_apart(tmp_path: Path, root: Path, seal: Seal) -> None:
    bare = media.write_video(tmp_path / "bare.mp4", [picture(0)], 25)
    assert verify_file(bare, root).status == UNSIGNED
    assert verify_file(media.write_video(tmp_path / "b.mkv", [picture(0)], 25), root).status == UNSIGNED
    path = signed(tmp_path / "out.mp4", seal)
    elsewhere = verify_file(path, tmp_path / "elsewhere")
    assert (elsewhere.status, elsewhere.valid) == (UNKNOWN, False)
    assert "dubwright local signer" in elsewhere.problems[0]
    assert not (tmp_path / "elsewhere").exists()  # looking changes nothing
    given = verify_file(path, tmp_path / "elsewhere", trust=str(root / "keys" / "certificate.pem"))
    assert (given.status, given.known) == (VALID, "trusted")


def test_the_same_name_on_another_certificate_fools_nobody(tmp_path: Path, root: Path) -> None:
    """Another root's certificate bears the same names; only the key tells them apart."""
    forged = Seal(load_certificate(tmp_path / "forger"), FACTS, MADE_FROM)
    assert verify_file(signed(tmp_path / "a.mp4", forged), root).status == UNKNOWN


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_same_render_is_signed_to_the_same_bytes(tmp_path: Path, root: Path, suffix: str) -> None:
    bare = media.write_video(tmp_path / f"bare{suffix}", [picture(0)] * 3, 25).read_bytes()
    made = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(bare)
        Seal(load_certificate(root), FACTS, MADE_FROM).seal(path)
        beside = path.with_suffix(".c2pa")
        made.append(path.read_bytes() + (beside.read_bytes() if beside.exists() else b""))
    assert made[0] == made[1]
    path.write_bytes(bare)
    Seal(load_certificate(root), {**FACTS, "render_id": "r2"}, MADE_FROM).seal(path)
    assert path.read_bytes() + (beside.read_bytes() if beside.exists() else b"") != made[0]


def test_a_signed_film_plays_as_before(tmp_path: Path, seal: Seal) -> None:
    """Sound, pictures, subtitles, chapters and times are found at their new places."""
    sound = clicks(1.0, [0.3, 0.7])
    source = make(tmp_path / "in.mp4", frames=25, sounds=(sound, sound), subtitles="mov_text", chapters=True)
    plain, out = tmp_path / "plain.mp4", tmp_path / "signed.mp4"
    media.rewrite_video(source, plain, None)
    with media.VideoRewriter(source, out, seal=seal.seal):
        pass
    assert manifest_boxes(out)
    assert [index_in(frame) for _, _, frame in media.iter_frames(out)] == list(range(25))
    assert media.frame_times(out).tolist() == media.frame_times(plain).tolist()
    for track in range(2):
        heard = [media.read_audio(path, SOUND_RATE, track=track) for path in (plain, out)]
        assert np.array_equal(*heard)
    before, after = media.probe(plain), media.probe(out)
    assert (after.subtitles, after.chapters) == (before.subtitles, before.chapters)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("changed", [False, True])
def test_the_manifest_of_a_signed_source_is_carried_on(
    tmp_path: Path, root: Path, seal: Seal, suffix: str, changed: bool
) -> None:
    """Also of a source that was changed since: that is said, and does not spoil the render."""
    source = signed(tmp_path / "source.mp4", seal)
    if changed:
        data = bytearray(source.read_bytes())
        data[-20] ^= 1
        source.write_bytes(data)
    made_from = (Ingredient("source", "source.mp4", "c" * 64, str(source)), MADE_FROM[1])
    outs = []
    for name in ("a", "b"):
        again = Seal(load_certificate(root), {"render_id": "r2"}, made_from)
        path = media.write_video(tmp_path / f"{name}{suffix}", [picture(i) for i in range(4)], 25, seal=again.seal)
        outs.append(path)
    found = verify_file(path, root)
    assert (found.status, found.facts["render_id"]) == (VALID, "r2")
    before, plain = found.ingredients
    assert (before["signed_by"], before["in_order"]) == ("dubwright local signer", not changed)
    assert "signed_by" not in plain
    stores = [out.with_suffix(".c2pa") if suffix == ".mkv" else out for out in outs]
    if suffix == ".mp4":
        assert stores[0].read_bytes() == stores[1].read_bytes()
    whole = stores[1].read_bytes()
    for place in range(100, 9000, 331):
        stores[1].write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        assert not verify_file(path, root).valid, place


@pytest.mark.parametrize("wide", [False, True])
def test_offsets_of_both_widths_and_large_boxes_are_moved(tmp_path: Path, root: Path, seal: Seal, wide: bool) -> None:
    """A file laid out by hand: the picture data first, its index behind, offsets of 32 or of 64 bits."""

    def box(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(body), kind) + body

    head = box(b"ftyp", b"isom\0\0\2\0isom")
    data = struct.pack(">I4sQ", 1, b"mdat", 16 + 5) + b"sound"
    table = struct.pack(">IIQ" if wide else ">III", 0, 1, len(head) + 16)
    index = box(b"co64" if wide else b"stco", table)
    for kind in (b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        index = box(kind, index)
    path = tmp_path / "a.mp4"
    path.write_bytes(head + data + index)
    seal.seal(path)
    whole = path.read_bytes()
    (at,) = struct.unpack(">Q" if wide else ">I", whole[-8:] if wide else whole[-4:])
    assert whole[at : at + 5] == b"sound"
    assert verify_file(path, root).valid


def test_what_cannot_be_signed_is_refused_and_not_shipped(tmp_path: Path, seal: Seal) -> None:
    def spoilt(partial: Path, target: Path) -> None:
        partial.write_bytes(b"\0\0\0\x08wide")
        seal.seal(partial, target)

    with pytest.raises(InputFailed, match="ftyp"):
        media.write_video(tmp_path / "a.mp4", [picture(0)], 25, seal=spoilt)
    source = make(tmp_path / "in.mp4", frames=3)
    with pytest.raises(InputFailed, match="ftyp"), media.VideoRewriter(source, tmp_path / "b.mp4", seal=spoilt):
        pass
    path = signed(tmp_path / "twice.mp4", seal)
    with pytest.raises(InputFailed, match="already"):
        seal.seal(path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in.mp4", "twice.mp4"]


def test_a_full_disk_stops_clearly_and_leaves_nothing(tmp_path: Path, seal: Seal) -> None:
    plain = media.write_video(tmp_path / "plain.mp4", [picture(i) for i in range(4)], 25)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = plain.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, before[1]))
    try:
        with pytest.raises(StorageFull):
            media.write_video(tmp_path / "out.mp4", [picture(i) for i in range(4)], 25, seal=seal.seal)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [entry.name for entry in tmp_path.iterdir()] == ["plain.mp4"]


def test_the_roots_certificate_is_made_once_and_kept_secret(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        keys = pool.map(_key_of, [tmp_path / "root"] * 8)
    assert len(set(keys)) == 1
    place = tmp_path / "root" / "keys" / "signer.pem"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert b"PRIVATE" not in (place.parent / "certificate.pem").read_bytes()
    check_certificate(load_certificate(tmp_path / "root"))


def _key_of(root: Path) -> bytes:
    return load_certificate(root).key


def own_certificate(folder: Path, kind: str, days: int = 30, for_mail: bool = True) -> tuple[str, str]:
    """A user's certificate, issued by their authority, and its key: two files."""
    now = datetime.datetime.now(datetime.UTC)
    names = [
        x509.NameAttribute(kind, value)
        for kind, value in ((NameOID.COMMON_NAME, "Sender Nord"), (NameOID.ORGANIZATION_NAME, "Sender"))
    ]
    keys = [
        rsa.generate_private_key(65537, 2048) if kind == "ps256" else ec.generate_private_key(ec.SECP256R1())
        for _ in range(2)
    ]
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Sender CA"), *names[1:]])
    made = []
    for subject, key, is_authority in ((x509.Name(names), keys[0], False), (issuer, keys[1], True)):
        flags = {"key_cert_sign": is_authority, "crl_sign": is_authority, "digital_signature": not is_authority}
        off = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
             "decipher_only"), False,
        )  # fmt: skip
        builder = x509.CertificateBuilder(
            issuer, subject, key.public_key(), x509.random_serial_number(),
            now - datetime.timedelta(days=60), now + datetime.timedelta(days=days),
        )  # fmt: skip
        builder = builder.add_extension(x509.BasicConstraints(is_authority, None), True)
        builder = builder.add_extension(x509.KeyUsage(**flags, **off), True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[1].public_key()), False)
        if not is_authority and for_mail:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        made.append(builder.sign(keys[1], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    (folder / "chain.pem").write_bytes(b"".join(made))
    (folder / "ca.pem").write_bytes(made[1])
    (folder / "key.pem").write_bytes(
        keys[0].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(folder / "chain.pem"), str(folder / "key.pem")


@pytest.mark.parametrize("kind", ["es256", "ps256"])
def test_the_users_certificate_signs_where_configured(tmp_path: Path, root: Path, kind: str) -> None:
    chain, key = own_certificate(tmp_path, kind)
    certificate = load_certificate(tmp_path / "none", chain, key)
    assert certificate.algorithm == kind
    check_certificate(certificate)
    path = signed(tmp_path / "out.mp4", Seal(certificate, FACTS, MADE_FROM))
    assert not (tmp_path / "none").exists()
    assert verify_file(path, root).status == UNKNOWN
    found = verify_file(path, root, certificate=chain)
    assert (found.status, found.signer, found.known) == (VALID, "Sender Nord", "configured")
    by_authority = verify_file(path, root, trust=str(tmp_path / "ca.pem"))
    assert (by_authority.status, by_authority.known) == (VALID, "trusted")
    with c2pa.Reader(str(path)) as reader:
        assert json.loads(reader.json())["validation_state"] == "Valid"


def test_a_certificate_that_cannot_sign_is_named_at_the_start(tmp_path: Path, root: Path) -> None:
    chain, key = own_certificate(tmp_path, "es256")
    other = local_certificate(root)
    with pytest.raises(ConfigError, match="not the key of"):
        load_certificate(root, chain, str(other))
    with pytest.raises(ConfigError, match=r"no such|No such"):
        load_certificate(root, str(tmp_path / "none.pem"))
    with pytest.raises(ConfigError, match="no private key"):
        load_certificate(root, chain, chain)
    with pytest.raises(ConfigError, match="cannot sign with ps256"):
        load_certificate(root, chain, key, "ps256")
    with pytest.raises(ConfigError, match="without provenance"):
        load_certificate(root, None, key)
    for wrong in ({"days": -1}, {"for_mail": False}):
        with pytest.raises(ConfigError, match="Sender Nord cannot sign"):
            check_certificate(load_certificate(root, *own_certificate(tmp_path, "es256", **wrong)))


def test_what_is_no_signed_kind_of_file_is_wrong_usage(tmp_path: Path, root: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    for name in ("a.txt", "none.mp4"):
        with pytest.raises(UsageError):
            verify_file(tmp_path / name, root)
