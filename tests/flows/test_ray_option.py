"""`--ray`, which every command takes."""

from pathlib import Path

import pytest

from flows.cli import run
from flows.options import Options


def test_it_is_part_of_the_configuration() -> None:
    assert Options(ray="head:6379").config().runtime.ray == "head:6379"
    assert Options().config().runtime.ray is None
    below = Options(ray="head:6379", root="/data")
    assert Options(ray="local").over(below).ray == "local"
    assert Options().over(below).ray == "head:6379"


@pytest.mark.parametrize("before", [True, False])
def test_a_ray_client_is_wrong_usage(tmp_path: Path, capfd: pytest.CaptureFixture[str], before: bool) -> None:
    option = ["--ray", "ray://head:10001"]
    words = ["preprocess", str(tmp_path), "--dataset", "d", "--root", str(tmp_path / "root")]
    assert run([*option, *words] if before else [*words, *option]) == 2
    assert "run the command on a node of the cluster" in capfd.readouterr().err
    assert not (tmp_path / "root").exists()
