"""The sections of the configuration that say who signs and who may be animated."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.config_sections import Section


class Provenance(Section):
    """Who signs. Shapes no picture, so it is no part of the hash."""

    sign: bool = Field(default=True, description="every output carries a C2PA manifest")
    certificate: str | None = Field(
        default=None, description="PEM file: the signer's certificate first; null: the root's own, in ROOT/keys"
    )
    key: str | None = Field(default=None, description="PEM file with its private key; null: in the same file")
    algorithm: Literal["ed25519", "es256", "es384", "es512", "ps256", "ps384", "ps512"] | None = Field(
        default=None, description="signature; null: what fits the key"
    )
    trust: str | None = Field(default=None, description="PEM file: more certificates whose signatures `verify` accepts")


class Consent(Section):
    """Who may be animated. Which people the table names is part of a render's identity, not of the hash."""

    table: str | None = Field(
        default=None,
        description="CSV, JSONL or Parquet: speaker, consent, source; null: ROOT/consent.csv",
    )
    require: bool = Field(default=False, description="only people whom the table allows are animated")
    same_person: float = Field(
        default=0.45, ge=-1, le=1, description="identity cosine from which a face is that of a person in the table"
    )
