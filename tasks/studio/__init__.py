"""The studio: a parametric talking head with exact truth for every frame."""
