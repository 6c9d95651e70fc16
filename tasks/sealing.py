"""Signing renders as the configuration says: whose certificate, and what the manifest tells."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from storage.ids import code_revision, file_sha256
from storage.layout import Root
from storage.signing import Ingredient, Seal, check_certificate
from storage.signing_keys import Certificate, load_certificate
from storage.verifying import Verified, verify_file
from tasks.config import Config
from tasks.jobs import digests_of


def render_seal(
    config: Config,
    facts: Mapping[str, Any],
    picture: str | os.PathLike[str],
    tracks: Sequence[str | os.PathLike[str]],
    kind: str = "dub",
) -> Seal | None:
    """What signs one render (give its `seal` to the writers of `storage.media`); None where `provenance.sign` is off.

    Args:
        facts: columns of the RENDERS row that say where the file comes from; `render_id` must be among them.
        picture: the source video, or the portrait.
        tracks: the sound files that it is made to speak.
        kind: dub or animate.

    Raises:
        ConfigError: the certificate cannot be read or made.
    """
    if not config.provenance.sign:
        return None
    made_from = [("source" if kind == "dub" else "portrait", picture), *(("track", track) for track in tracks)]
    known = digests_of(Root(config.root))
    ingredients = tuple(
        Ingredient(role, Path(place).name, file_sha256(place, known), os.fspath(place)) for role, place in made_from
    )
    return Seal(configured_certificate(config), dict(facts), ingredients, kind, code_revision())


def configured_certificate(config: Config) -> Certificate:
    """The certificate that signs: the configured one, or that of the root, made at the first call.

    Raises:
        ConfigError: it cannot be read or made.
    """
    given = config.provenance
    return load_certificate(config.root, given.certificate, given.key, given.algorithm)


def check_provenance(config: Config) -> None:
    """At the start of a run, before hours of work: is there a certificate, and may it sign?

    Raises:
        ConfigError: there is none that may.
    """
    if config.provenance.sign:
        check_certificate(configured_certificate(config))


def verify_render(path: str | os.PathLike[str], config: Config) -> Verified:
    """Check a file's manifest; known signers are the root's own, the configured one, and those of `provenance.trust`.

    Raises:
        UsageError: there is no such file, or it is of a kind that is not signed.
        ConfigError: a certificate cannot be read.
    """
    return verify_file(path, config.root, config.provenance.certificate, config.provenance.trust)
