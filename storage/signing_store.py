"""A C2PA manifest store as bytes: what in it is hashed or signed, what is not, and how it is finished.

The library that makes the manifest salts every assertion with chance and hashes the whole file in memory. Here the
salts are derived from the signer's key, the hash of the file is put in as it was computed on the way, and the claim is
signed again; so the same render is the same bytes, and an hour is hashed in the memory of a minute.

A manifest does not protect all of itself: labels, padding and ``ftyp`` can be changed without a validator's notice. Our
own assertion carries the hash of all these bytes, so that no byte of the file is left out.

Layout: ISO/IEC 19566-5 (JUMBF), C2PA 2.1 sections 8.4 (hashed URIs), 10.3 (claims) and 13.2 (signatures, RFC 9052).
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

OWN = "org.dubwright.render"
"""Label of the assertion with the facts of a render."""
UNFILLED = "0" * 64
"""Stands in the own assertion until the hash of the unprotected bytes is known."""
_HASH_OF_FILE = ("c2pa.hash.bmff", "c2pa.hash.data")
_SIGNATURES = (64, 96, 132, 256, 384, 512)  # bytes: Ed25519 and P-256, P-384, P-521, RSA 2048, 3072, 4096


class MalformedStore(ValueError):
    """These bytes are no manifest store as this program writes them."""


@dataclass
class _Box:
    kind: bytes
    start: int
    body: int
    end: int
    label: str = ""
    inside: list[_Box] = field(default_factory=list)


class ManifestStore:
    """The active (last) manifest of a store.

    Args:
        data: the store, a JUMBF superbox.

    Raises:
        MalformedStore: it is none, or lacks a part.
    """

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        outer = _boxes(self.data, 0, len(self.data))
        if len(outer) != 1 or not outer[0].inside:
            raise MalformedStore("no manifest store")
        manifest = outer[0].inside[-1]
        parts = {box.label: box for box in manifest.inside}
        try:
            self._assertions = parts["c2pa.assertions"].inside
            claim = next(box for label, box in parts.items() if label.startswith("c2pa.claim"))
            self._claim = _content(claim)
            self._protected, self._signature = _cose(self.data, *_content(parts["c2pa.signature"]))
        except (KeyError, StopIteration, IndexError) as error:
            raise MalformedStore("the manifest lacks a claim, its assertions or its signature") from error

    @property
    def own(self) -> bytes | None:
        """The own assertion's bytes; None: another program made this manifest."""
        return next((bytes(self.data[box.body : box.end]) for box in self._assertions if box.label == OWN), None)

    @property
    def signed(self) -> tuple[bytes, bytes]:
        """(what was signed, the signature)."""
        protected, claim = (bytes(self.data[slice(*place)]) for place in (self._protected, self._claim))
        return _to_sign(protected, claim), bytes(self.data[slice(*self._signature)])

    def unprotected(self, around: bytes) -> str:
        """SHA-256 (hex) of `around` and of all bytes of the store that neither the claim nor the signature protects."""
        covered = [self._claim, self._protected, self._signature]
        claim = bytes(self.data[slice(*self._claim)])
        covered += [(box.body, box.end) for box in self._assertions if self._hash(box) in claim]
        digest, at = hashlib.sha256(around), 0
        for start, end in sorted(covered):
            digest.update(self.data[at:start])
            digest.update(struct.pack(">Q", end - start))
            at = end
        digest.update(self.data[at:])
        return digest.hexdigest()

    def finish(
        self, old_hash: bytes, new_hash: bytes, around: bytes, salt_key: bytes, sign: Callable[[bytes], bytes]
    ) -> bytes:
        """The store for the real file.

        Args:
            old_hash, new_hash: SHA-256 of the stand-in that the manifest was made for, and of the file.
            around: bytes of the file that no hash covers, as for `unprotected`.
            salt_key: secret that salts are derived from.
            sign: (what COSE signs) → signature, as long as the one in place.

        Raises:
            MalformedStore: the manifest is not built as expected.
        """
        before = {box.label: self._hash(box) for box in self._assertions}
        for box in self._assertions:
            self._salt(box, salt_key)
            if box.label.startswith(_HASH_OF_FILE):
                self._put(box, old_hash, new_hash)
        # A hash stands in the claim, and those of ingredients in the actions too: these are hashed after them.
        order = sorted(self._assertions, key=lambda box: (box.label == OWN, box.label.startswith("c2pa.actions")))
        plain = [box for box in order if box.label != OWN]
        for box in plain:
            self._rehash(before[box.label], box)
        own = next((box for box in order if box.label == OWN), None)
        if own is None:
            raise MalformedStore("the own assertion is missing")
        # What is protected is found by its hash in the claim, so the own one is entered before and after it is filled.
        self._rehash(before[OWN], own)
        entered = self._hash(own)
        self._put(own, UNFILLED.encode(), self.unprotected(around).encode())
        self._rehash(entered, own)
        signature = sign(self.signed[0])
        start, end = self._signature
        if len(signature) != end - start:
            raise MalformedStore(f"the signature has {len(signature)} bytes, not {end - start}")
        self.data[start:end] = signature
        return bytes(self.data)

    def _hash(self, box: _Box) -> bytes:
        return hashlib.sha256(self.data[box.body : box.end]).digest()

    def _rehash(self, before: bytes, box: _Box) -> None:
        after = self._hash(box)
        if before not in self.data:
            raise MalformedStore(f"nothing refers to the assertion {box.label}")
        self.data[:] = self.data.replace(before, after)

    def _put(self, box: _Box, before: bytes, after: bytes) -> None:
        content = bytes(self.data[box.body : box.end])
        if content.count(before) != 1 or len(before) != len(after):
            raise MalformedStore(f"the assertion {box.label} does not hold the expected hash")
        self.data[box.body : box.end] = content.replace(before, after)

    def _salt(self, box: _Box, key: bytes) -> None:
        label = f"{box.label}\0".encode()
        at = bytes(self.data[box.body : box.end]).find(label + b"\0\0\0\x18c2sh")
        if at >= 0:
            at += box.body + len(label) + 8
            self.data[at : at + 16] = hmac.digest(key, label, "sha256")[:16]


def _boxes(data: bytearray, start: int, end: int) -> list[_Box]:
    boxes, at = [], start
    while at < end:
        if end - at < 8:
            raise MalformedStore(f"a box of the manifest is cut off at byte {at}")
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > end:
            raise MalformedStore(f"a box of the manifest is not whole at byte {at}")
        box = _Box(kind, at, at + 8, at + size)
        if kind == b"jumb":
            described, *box.inside = _boxes(data, box.body, box.end)
            name = data[described.body + 17 : described.end]
            box.label = name[: name.find(b"\0")].decode("utf-8", "replace")
        boxes.append(box)
        at = box.end
    return boxes


def _content(box: _Box) -> tuple[int, int]:
    """Where the one content box of a superbox holds its content."""
    return box.inside[0].body, box.inside[0].end


def _cose(data: bytearray, start: int, end: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Places of the protected header and of the signature in a tagged COSE_Sign1 without payload."""
    if data[start : start + 2] != b"\xd2\x84":
        raise MalformedStore("the signature is no COSE_Sign1")
    kind, width = data[start + 2], {0x58: 1, 0x59: 2}.get(data[start + 2], 0)
    first = start + 3 + width
    length = int.from_bytes(data[start + 3 : first], "big") if width else kind - 0x40
    protected = (first, first + length)
    for count in _SIGNATURES:
        if data[start:end].endswith(b"\xf6" + _head(0x40, count) + data[end - count : end]):
            return protected, (end - count, end)
    raise MalformedStore("the signature has an unknown length")


def _to_sign(protected: bytes, claim: bytes) -> bytes:
    """Sig_structure of RFC 9052, section 4.4."""
    parts = [_head(0x60, 10) + b"Signature1"] + [_head(0x40, len(part)) + part for part in (protected, b"", claim)]
    return b"\x84" + b"".join(parts)


def _head(kind: int, length: int) -> bytes:
    """Head of a CBOR string (RFC 8949, section 3.1)."""
    if length < 24:
        return bytes([kind + length])
    for code, form in ((24, ">BB"), (25, ">BH"), (26, ">BI")):
        if length < 1 << (8 << (code - 24)):
            return struct.pack(form, kind + code, length)
    raise MalformedStore("a string is too long")
