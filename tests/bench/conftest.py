"""Benches are run with a configuration of their own, which sees no other folder's fixtures."""

from tests.conftest import shared_dir

__all__ = ["shared_dir"]
