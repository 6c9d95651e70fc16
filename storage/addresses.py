"""Addresses of files that do not lie on this machine, and which of them are followed.

A manifest comes from anywhere, and what it names is read by this machine, from within its network. So only object
stores are asked: no web address (a manifest could name an internal one), no chain of file systems (``zip::``,
``simplecache::``), and no address that carries its own password or signature, which would then stand in every row.
"""

from __future__ import annotations

import re

from storage.errors import ConfigError, UsageError
from storage.masking import MASK, masked

STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oci", "oss", "hdfs", "memory")
"""Kinds of stores that are asked."""
_WITH_ACCOUNT = ("abfs", "abfss")
"""Their addresses are container@account, which is no password."""


def check_address(uri: str) -> None:
    """Refuse an address that is not followed.

    Raises:
        ConfigError: no store of a kind that is asked.
        UsageError: it carries a password or a signature.
    """
    scheme, _, rest = uri.partition("://")
    if "::" in uri or scheme.lower() not in STORES:
        raise ConfigError(
            f"{masked(uri)}: addresses of the kind {scheme}:// are not followed",
            f"copy the files to this machine, or to an object store ({', '.join(STORES)})",
        )
    user, at, _ = rest.partition("/")[0].rpartition("@")
    if (at and (":" in user or scheme.lower() not in _WITH_ACCOUNT)) or masked(uri) != uri or MASK in uri:
        shown = re.sub(r"(?<=://)[^/]*@", "***@", masked(uri))
        raise UsageError(
            f"{shown}: carries a password, a token or a signature",
            "give them by the environment (AWS_ACCESS_KEY_ID, …) or fsspec's configuration, and the address without",
        )
