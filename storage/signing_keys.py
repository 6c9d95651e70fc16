"""Whose name stands under a file: the certificate that signs, the user's own or one made here.

A root that was given none makes its own, once: a certification authority whose key is thrown away, and one Ed25519
certificate of it. Ed25519 signatures hold no chance, so the same render signed twice is the same file. The extensions
are those that C2PA asks of a signer (C2PA 2.1, section 14.5.1 "Certificate profile").
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from storage.atomic import FileLock, written_aside
from storage.errors import ConfigError
from storage.layout import Root

SIGNER = "signer.pem"
"""In ROOT/keys: the private key (0600), then the chain, the signer's certificate first."""
CERTIFICATE = "certificate.pem"
"""Beside it: the chain alone, to be given to those who verify."""
_YEARS = 30
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_HASHES: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Certificate:
    """A certificate with its private key.

    chain: PEM, the signer's certificate first; key: PEM (PKCS 8); algorithm: ed25519, es256, es384, es512, ps256, ps384
    or ps512.
    """

    chain: bytes
    key: bytes
    algorithm: str

    @property
    def name(self) -> str:
        """Common name of the signer."""
        return common_name(x509.load_pem_x509_certificates(self.chain)[0])

    @property
    def leaf(self) -> bytes:
        """PEM of the signer's certificate alone."""
        return x509.load_pem_x509_certificates(self.chain)[0].public_bytes(serialization.Encoding.PEM)

    def sign(self, data: bytes) -> bytes:
        """Signature as COSE wants it (RFC 9053): ECDSA as r and s, RSA as PSS with a salt as long as the hash.

        The same data gives the same bytes with Ed25519 and, where OpenSSL can (RFC 6979), ECDSA; never with RSA.
        """
        key = _private(self.key)
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(data)
        digest = _HASHES[self.algorithm[-3:]]
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        try:
            signature = key.sign(data, ec.ECDSA(digest, deterministic_signing=True))
        except UnsupportedAlgorithm:
            signature = key.sign(data, ec.ECDSA(digest))
        width = (key.curve.key_size + 7) // 8
        return b"".join(part.to_bytes(width, "big") for part in decode_dss_signature(signature))


def verifies(certificate: x509.Certificate, data: bytes, signature: bytes) -> bool:
    """Whether the holder of `certificate` signed `data`, as by `Certificate.sign`."""
    key = certificate.public_key()
    for digest in _HASHES.values():
        try:
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, data)
            elif isinstance(key, ec.EllipticCurvePublicKey):
                half = len(signature) // 2
                r, s = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
                key.verify(encode_dss_signature(r, s), data, ec.ECDSA(digest))
            elif isinstance(key, rsa.RSAPublicKey):
                key.verify(signature, data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
            else:
                return False
        except InvalidSignature:
            continue
        return True
    return False


def load_certificate(
    root: Root | str | Path, certificate: str | None = None, key: str | None = None, algorithm: str | None = None
) -> Certificate:
    """The certificate to sign with: the one given, else the root's own, which is made where there is none yet.

    Args:
        certificate: file with the chain (PEM, the signer's first; it may hold the key too).
        key: file with the private key (PEM, not encrypted); None: in the file of the certificate.
        algorithm: None: follows from the key.

    Raises:
        ConfigError: a file is missing, unreadable or encrypted; key and certificate do not belong together; the
            algorithm does not fit the key.
    """
    if certificate is None:
        if key is not None:
            raise ConfigError("provenance.key is set without provenance.certificate", "set both, or none")
        place = local_certificate(root)
        certificate, key = str(place), str(place)
    return _read(Path(certificate).expanduser(), Path(key or certificate).expanduser(), algorithm)


def local_certificate(root: Root | str | Path) -> Path:
    """ROOT/keys/signer.pem, made at the first call; several processes at once get the same.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    folder = Root(root).local / "keys"
    place = folder / SIGNER
    if place.is_file():
        return place
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(folder / ".lock"):
            if place.is_file():
                return place
            secret, chain = _make()
            with written_aside(folder / CERTIFICATE) as partial:
                partial.write_bytes(chain)
            with written_aside(place) as partial:
                partial.touch(mode=0o600)
                partial.write_bytes(secret + chain)
    except OSError as error:
        raise ConfigError(
            f"{folder}: no certificate can be made there ({error.strerror})",
            "make the root writable, or set provenance.certificate and provenance.key",
        ) from error
    return place


def common_name(certificate: x509.Certificate) -> str:
    """Common name of the subject; its whole name where it has none."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else certificate.subject.rfc4514_string()


def _read(certificate: Path, key: Path, algorithm: str | None) -> Certificate:
    try:
        chain = x509.load_pem_x509_certificates(certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{certificate}: is no certificate that can be read: {error}", "give a PEM file, the signer's first"
        ) from error
    try:
        private = _private(key.read_bytes())
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"{key}: is no private key that can be read: {error}", "give a PEM file without a password"
        ) from error
    if private.public_key() != chain[0].public_key():
        raise ConfigError(f"{key}: is not the key of the first certificate in {certificate}", "give the pair")
    fitting = _fitting(private)
    if not fitting or (algorithm is not None and algorithm not in fitting):
        raise ConfigError(
            f"{key}: cannot sign with {algorithm or 'its kind of key'}",
            f"use {' or '.join(fitting)}" if fitting else "use Ed25519, ECDSA (P-256, P-384, P-521) or RSA",
        )
    pem = b"".join(entry.public_bytes(serialization.Encoding.PEM) for entry in chain)
    return Certificate(pem, _secret(private), algorithm or fitting[0])


def _private(pem: bytes) -> PrivateKey:
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, PrivateKey):
        raise ValueError(f"a {type(key).__name__} cannot sign under C2PA")
    return key


def _fitting(key: PrivateKey) -> tuple[str, ...]:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return ("ed25519",)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return (_CURVES[key.curve.name],) if key.curve.name in _CURVES else ()
    return ("ps256", "ps384", "ps512")


def _secret(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _make() -> tuple[bytes, bytes]:
    """(private key, chain), both PEM."""
    authority, signer = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
    issuer = _name("dubwright local authority")
    issued = _certificate(issuer, issuer, authority.public_key(), is_authority=True).sign(authority, None)
    builder = _certificate(_name("dubwright local signer"), issuer, signer.public_key(), is_authority=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False
    )
    chain = (builder.sign(authority, None), issued)
    return _secret(signer), b"".join(entry.public_bytes(serialization.Encoding.PEM) for entry in chain)


def _name(common: str) -> x509.Name:
    # Some C2PA readers refuse a signer whose certificate names no organisation (c2pa-rs issue 2262).
    named = ((NameOID.ORGANIZATION_NAME, "dubwright"), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in named])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ed25519.Ed25519PublicKey, is_authority: bool
) -> x509.CertificateBuilder:
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)  # clocks of other machines may lag
    usage = x509.KeyUsage(
        digital_signature=not is_authority, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=is_authority, crl_sign=is_authority, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip
    builder = x509.CertificateBuilder(
        issuer, subject, key, x509.random_serial_number(), begin, begin + datetime.timedelta(days=365 * _YEARS)
    )
    constraints = x509.BasicConstraints(ca=is_authority, path_length=0 if is_authority else None)
    return (
        builder.add_extension(constraints, critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )
