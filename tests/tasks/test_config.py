"""The configuration tree: what is written in params.yaml is what is in force, and mistakes are named."""

import tomllib
from pathlib import Path

import pytest

from storage.errors import ConfigError
from tasks.config import PROFILES, PROJECT, Config, load_config, settings_folder


def test_params_yaml_holds_the_defaults_of_the_tree() -> None:
    assert load_config("studio") == Config()


def test_production_differs_from_the_studio() -> None:
    studio, production = load_config("studio"), load_config("sd15")
    assert production.faces.pack == "buffalo_l"
    assert production.model.size == 256
    assert (studio.model.control_share, production.model.control_share) == (0.5, 1.0)
    assert studio.hash() != production.hash()


def test_overrides_may_be_dotted_or_nested() -> None:
    config = load_config(overrides={"render.steps": 4, "shots": {"width": 128}})
    assert (config.render.steps, config.shots.width) == (4, 128)
    assert config.with_({"render.steps": 5}).render.steps == 5


def test_hash_ignores_where_and_how_wide_it_runs() -> None:
    config = load_config()
    assert load_config(root="/elsewhere", overrides={"runtime.actors": 7}).hash() == config.hash()
    assert config.with_({"render.seed": 1}).hash() != config.hash()


def test_hash_of_parts_ignores_the_others() -> None:
    config = load_config()
    assert config.with_({"render.seed": 1}).hash("faces", "preprocess") == config.hash("faces", "preprocess")
    assert config.with_({"faces.det_thresh": 0.4}).hash("faces") != config.hash("faces")


@pytest.mark.parametrize(
    ("profile", "overrides", "named"),
    [
        ("nonsense", {}, "nonsense"),
        ("studio", {"render.stepps": 3}, "render.stepps"),
        ("studio", {"faces.det_thresh": 7}, "faces.det_thresh"),
        ("studio", {"preprocess": {"jpeg_quality": "best"}}, "preprocess.jpeg_quality"),
    ],
)
def test_mistakes_are_named(profile: str, overrides: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        load_config(profile, overrides=overrides)
    assert caught.value.exit_code == 2


def test_every_number_has_its_unit_or_meaning() -> None:
    words = load_config().model_dump()
    assert {"faces", "shots", "tracks", "preprocess", "audio", "model", "render", "train", "evaluate"} <= set(words)
    for section in ("faces", "shots", "tracks", "preprocess", "audio"):
        fields = type(getattr(load_config(), section)).model_fields
        assert all(field.description for field in fields.values()), section


def test_settings_are_found_beside_the_code_and_in_an_installed_wheel(tmp_path: Path) -> None:
    assert settings_folder(PROJECT, tmp_path) == PROJECT
    assert settings_folder(tmp_path / "site-packages", tmp_path) == tmp_path / "share" / "dubwright"


def test_a_wheel_carries_the_settings_to_where_they_are_looked_for() -> None:
    data = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
    carried = {
        f"{target}/{file.name}" for target, patterns in data.items() for name in patterns for file in PROJECT.glob(name)
    }
    profiles = {f"share/dubwright/infra/profiles/{file.name}" for file in PROFILES.glob("*.yaml")}
    assert carried == {"share/dubwright/params.yaml", "share/dubwright/prefect.yaml", *profiles}
