"""Secrets do not leave: what looks like one is taken out of everything that is shown, stored or reported.

Secrets belong into the environment or into a Prefect block. From there they find their way into messages by themselves:
a store's error repeats the address with its signature, a database's repeats the password.
"""

from __future__ import annotations

import os
import re

MASK = "***"
_SHORTEST = 8
"""Letters of a secret; shorter values of the environment are words that stand everywhere."""

_SECRET_NAME = re.compile(
    r"((^|_)(SECRETS?|TOKENS?|PASSWD|PASSPHRASE|CREDENTIALS?|API_KEY|ACCESS_KEY|ACCESS_KEY_ID|ACCOUNT_KEY"
    r"|PRIVATE_KEY|ENCRYPTION_KEY|AUTH_STRING|CONNECTION_URL|CONNECTION_STRING|WEBHOOK|WEBHOOK_URL)(_KEY)?|PASSWORD)$",
    re.IGNORECASE,
)
"""Variables of the environment whose values are secrets: AWS_SECRET_ACCESS_KEY, PREFECT_API_KEY, GITHUB_TOKEN, …"""

_USER_IN_ADDRESS = re.compile(r"(?<=://)[^\s/@'\"<>]*:[^\s@'\"<>]*(?=@)")
"""A password may hold slashes: those of AWS do, and people write them as they are."""
_NAMED_VALUE = re.compile(
    r"(?i)(?<![a-z])((?:x-amz-|x-goog-)?(?:signature|security-token|credential)|sig|access_token|auth_token|token"
    r"|password|passwd|secret|client_secret|api_?key|account_?key|secret_?access_?key|aws_secret_access_key)"
    r"(=|%3D)([^\s&;,'\"<>]+)"
)
_HEADER = re.compile(r"(?i)\b(authorization:?\s*(?:bearer|basic)|bearer)(\s+)([\w.~+/=-]{8,})")


def masked(text: str) -> str:
    """`text` with passwords in addresses, signatures, tokens and the secrets of the environment replaced by ``***``."""
    for value in _of_environment():
        if value in text:
            text = text.replace(value, MASK)
    if "://" in text:
        text = _USER_IN_ADDRESS.sub(MASK, text)
    text = _NAMED_VALUE.sub(rf"\1\2{MASK}", text)
    return _HEADER.sub(rf"\1\2{MASK}", text)


def _of_environment() -> list[str]:
    """Values of secret variables, as they are and as JSON writes them; the longest first, lest one leave a rest."""
    found = set()
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _SECRET_NAME.search(name):
            found |= {value, value.replace("\\", "\\\\").replace('"', '\\"')}
    return sorted(found, key=lambda value: (-len(value), value))
