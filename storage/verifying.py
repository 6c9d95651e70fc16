"""Reading back what a file says of itself, and whether it is still the file that was signed.

A C2PA validator checks the signature and the hashes; what those leave out (labels, padding, ``ftyp``) is checked
against the hash in our own assertion. So of a file signed here, no byte can be changed unnoticed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from storage.errors import ConfigError, InputFailed, UsageError
from storage.layout import Root
from storage.signing import MIME, SIDECAR
from storage.signing_boxes import BEFORE_STORE, head_box, manifest_boxes, read_box
from storage.signing_keys import CERTIFICATE, verifies
from storage.signing_store import OWN, MalformedStore, ManifestStore

VALID, UNKNOWN, CHANGED, UNSIGNED = "valid", "unknown signer", "changed", "unsigned"
_UNTRUSTED = "signingCredential.untrusted"


@dataclass(frozen=True)
class Verified:
    """What was found.

    Attributes:
        status: valid; "unknown signer": whole, but signed by somebody who is not trusted here; changed: not the file
            that was signed, or its manifest is broken; unsigned: carries no manifest.
        signer: common name in the certificate; "" where there is none.
        known: who that is: "this root", "configured", "trusted", or "".
        problems: in words, empty for a valid file.
        facts: what the render says of itself: render_id, model_id, dataset_id, source_sha256, seed, …
        ingredients: role, title and sha256 of what it was made from; of those that were signed themselves also
            signed_by, and in_order: whether their signature held when the render was made.
        synthetic: the digital source type that an action names.
    """

    path: str
    status: str
    signer: str = ""
    known: str = ""
    problems: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    ingredients: tuple[dict[str, Any], ...] = ()
    synthetic: str = ""

    @property
    def valid(self) -> bool:
        """Unchanged, and signed by somebody known."""
        return self.status == VALID

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "valid": self.valid}


def verify_file(
    path: str | os.PathLike[str],
    root: Root | str | os.PathLike[str],
    certificate: str | None = None,
    trust: str | None = None,
) -> Verified:
    """Check a file against its manifest. Nothing is fetched from the network, nothing is written.

    Args:
        root: files signed with its own certificate are known.
        certificate: file of the configured certificate (PEM); files signed with it are known too.
        trust: file with more certificates (PEM) of signers and of authorities whose signers are trusted.

    Raises:
        UsageError: there is no such file, or it is of a kind that cannot be signed.
        ConfigError: `certificate` or `trust` cannot be read.
    """
    place = Path(path)
    if not place.is_file():
        raise UsageError(f"{place}: no such file", "check the path")
    if place.suffix.lower() not in MIME:
        raise UsageError(f"{place}: is no file that could have been signed", f"use {', '.join(MIME)}")
    own = Root(root).local / "keys" / CERTIFICATE
    known = {"this root": _certificates(own) if own.is_file() else []}
    known["configured"] = _certificates(Path(certificate)) if certificate else []
    known["trusted"] = _certificates(Path(trust)) if trust else []
    try:
        sidecar, store, around = _manifest_of(place)
    except (InputFailed, MalformedStore) as error:
        return Verified(str(place), CHANGED, problems=(str(error),))
    if store is None:
        return Verified(str(place), UNSIGNED, problems=("carries no manifest: nothing tells where it is from",))
    return _checked(place, sidecar, store, around, known)


def _checked(
    place: Path, sidecar: bytes | None, store: bytes, around: bytes, known: dict[str, list[x509.Certificate]]
) -> Verified:
    settings: dict[str, Any] = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True}}
    anchors = [entry.public_bytes(Encoding.PEM).decode() for entry in known["trusted"]]
    if anchors:
        settings["trust"] = {"user_anchors": "".join(anchors)}
    try:
        with (
            c2pa.Context.from_dict(settings) as context,
            place.open("rb") as stream,
            c2pa.Reader(MIME[place.suffix.lower()], stream, manifest_data=sidecar, context=context) as reader,
        ):
            manifest = reader.get_active_manifest() or {}
            manifests = json.loads(reader.json()).get("manifests", {})
            results = (reader.get_validation_results() or {}).get("activeManifest", {})
            trusted = reader.get_validation_state() == "Trusted"
    except (c2pa.C2paError, KeyError, ValueError) as error:  # the last two: of the JSON that the reader makes
        return Verified(str(place), CHANGED, problems=(f"its manifest cannot be read: {error}",))
    failures = results.get("failure", [])
    problems = [entry["explanation"] for entry in failures if entry["code"] != _UNTRUSTED]
    facts = _assertion(manifest, OWN)
    try:
        parsed = ManifestStore(store)
        signer = _who(parsed, known)
        if parsed.own is not None and facts.get("unprotected_sha256") != parsed.unprotected(around):
            problems.append("bytes of the manifest or of the file's head were changed")
    except MalformedStore as error:
        signer = ""
        if facts:
            problems.append(str(error))
    signer = signer or ("trusted" if trusted else "")
    name = (manifest.get("signature_info") or {}).get("common_name", "")
    status = CHANGED if problems else VALID if signer else UNKNOWN
    if status == UNKNOWN:
        problems.append(
            f"signed by {name or 'somebody'}, who is not known here: add the certificate to provenance.trust"
        )
    ingredients = _ingredients(facts.pop("ingredients", None), manifest, manifests)
    facts.pop("unprotected_sha256", None)
    return Verified(
        str(place), status, name, signer, tuple(problems), facts, tuple(ingredients), _source_type(manifest)
    )


def _manifest_of(place: Path) -> tuple[bytes | None, bytes | None, bytes]:
    """(the sidecar, the manifest store wherever it lies, the bytes around it that no hash covers)."""
    if place.suffix.lower() == ".mkv":
        beside = place.with_suffix(SIDECAR)
        store = beside.read_bytes() if beside.is_file() else None
        return store, store, b""
    boxes = manifest_boxes(place)
    if not boxes:
        return None, None, b""
    if len(boxes) > 1:
        raise MalformedStore("it carries several manifests")
    box = read_box(place, boxes[0])
    head = read_box(place, head_box(place))
    return None, box[BEFORE_STORE:], head + box[:BEFORE_STORE]


def _who(store: ManifestStore, known: dict[str, list[x509.Certificate]]) -> str:
    data, signature = store.signed
    for name, certificates in known.items():
        signers: Sequence[x509.Certificate] = certificates if name == "trusted" else certificates[:1]
        if any(verifies(entry, data, signature) for entry in signers):
            return name
    return ""


def _assertion(manifest: dict[str, Any], label: str) -> dict[str, Any]:
    found = (entry.get("data") for entry in manifest.get("assertions", []) if entry.get("label") == label)
    data = next(found, None)
    return dict(data) if isinstance(data, dict) else {}


def _ingredients(told: Any, manifest: dict[str, Any], manifests: dict[str, Any]) -> list[dict[str, Any]]:
    """What our own assertion says, else the manifest's own list; with the signers of what was signed itself."""
    listed = [entry for entry in manifest.get("ingredients", []) if isinstance(entry, dict)]
    if not isinstance(told, list):
        return [{"role": entry.get("relationship"), "title": entry.get("title")} for entry in listed]
    found = []
    for entry in told:
        same = [other for other in listed if other.get("instance_id") == f"sha256:{entry.get('sha256')}"]
        label = next((other["active_manifest"] for other in same if other.get("active_manifest")), None)
        if label is not None:
            results = same[0].get("validation_results", {}).get("activeManifest", {})
            wrong = [failure for failure in results.get("failure", []) if failure["code"] != _UNTRUSTED]
            signer = (manifests.get(label, {}).get("signature_info") or {}).get("common_name", "")
            entry = {**entry, "signed_by": signer, "in_order": not wrong}
        found.append(entry)
    return found


def _source_type(manifest: dict[str, Any]) -> str:
    actions = _assertion(manifest, "c2pa.actions.v2").get("actions")
    named = [entry.get("digitalSourceType") for entry in actions or [] if isinstance(entry, dict)]
    return next((str(kind) for kind in named if kind), "")


def _certificates(place: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(place.expanduser().read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{place}: is no certificate that can be read: {error}", "give a PEM file") from error
