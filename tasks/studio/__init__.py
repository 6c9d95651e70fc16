"""The studio: a parametric talking head with exact truth for every frame."""

from pathlib import Path

LIBRARY = Path(__file__).parent / "library"
"""The shipped episodes, footage and portrait."""
