"""The command's contract: what reaches standard output, exit codes, errors in a sentence, options in either place."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from flows.cli import APP, run
from storage.catalog import Catalog
from storage.layout import Root
from storage.schema import CLIPS, row
from tests.conftest import PROJECT, Command

COMMANDS = (
    "demo", "doctor", "preprocess", "dataset", "train", "evaluate", "models", "dub", "animate", "catalog", "nightly",
    "up", "down", "deploy", "studio", "verify", "consent",
)  # fmt: skip


def help_of(*words: str) -> str:
    result = CliRunner().invoke(APP, [*words, "--help"])
    assert result.exit_code == 0, result.output
    return re.sub(r"\s+", " ", result.output)


def the_object(output: str) -> dict[str, Any]:
    """The one JSON object on standard output; anything else there is a failure."""
    assert output.count("\n") == 1, output
    value = json.loads(output)
    assert isinstance(value, dict)
    assert {"run_id", "counts", "items", "report", "seconds"} <= value.keys()
    assert set(value["counts"]) == {"ok", "rejected", "failed"}
    return value


def test_all_commands_are_there() -> None:
    text = help_of()
    assert [name for name in COMMANDS if f" {name} " not in text] == []
    for group, names in {
        "dataset": ("list", "show", "diff", "checkout", "tag"),
        "models": ("list", "show", "promote", "rollback", "import"),
        "consent": ("add", "list", "remove", "check"),
        "catalog": ("search", "list", "show", "export", "report"),
    }.items():
        assert [name for name in names if f" {name} " not in help_of(group)] == []


GROUPS = ("dataset", "models", "catalog", "studio", "consent")


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in GROUPS])
def test_every_command_takes_the_shared_options(name: str) -> None:
    text = help_of(name)
    assert [option for option in ("--root", "--profile", "--json", "--face-pack") if option not in text] == []


def test_options_are_taken_before_and_after_the_command(dubwright: Command, tmp_path: Path) -> None:
    before = dubwright("--json", "dataset", "list")
    after = dubwright("dataset", "list", "--json", "--root", tmp_path / "other")
    assert before.returncode == after.returncode == 0
    assert the_object(before.stdout)["items"] == the_object(after.stdout)["items"] == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nosuch"], "No such command"),
        (["dub"], "needs a VIDEO or --manifest"),
        (["dub", "README.md"], "needs --audio"),
        (["dub", "missing.mp4", "--audio", "README.md"], "missing.mp4: no such file"),
        (["preprocess", "README.md", "--dataset", "d", "--retry", "all"], "nothing else to retry"),
        (["train"], "needs --dataset"),
        (["dataset", "show", "nothing"], "there is no dataset 'nothing'"),
        (["models", "show", "nothing"], "there is no model 'nothing'"),
        (["catalog", "list", "-t", "nonsense"], "there is no table 'nonsense'"),
        (["dataset", "list", "--profile", "nonsense", "--set", "a=b"], ""),
        (["doctor", "--profile", "nonsense"], "there is no profile named 'nonsense'"),
        (["doctor", "--set", "render.steps"], "not NAME=VALUE"),
        (["doctor", "--set", "render.nonsense=1"], "render.nonsense"),
        (["doctor", "--set", "render.steps=0"], "render.steps"),
    ],
)
def test_wrong_usage_is_explained_without_a_traceback(dubwright: Command, words: list[str], says: str) -> None:
    told = dubwright(*words, "--json")
    assert told.returncode == (2 if says else 0), told.stderr
    assert "Traceback" not in told.stderr
    value = the_object(told.stdout)
    if says:
        error = value["error"]
        assert says in error["message"]
        assert error["remedy"]
        assert says in told.stderr


def test_usage_errors_without_json_leave_standard_output_empty(dubwright: Command) -> None:
    told = dubwright("dub")
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("dubwright: ")
    assert "→" in told.stderr


def test_a_root_that_cannot_be_written_is_a_configuration_error(dubwright: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = dubwright("preprocess", "README.md", "--dataset", "d", "--root", tmp_path / "file" / "root")
    assert told.returncode == 2
    assert "choose another --root" in told.stderr


def test_doctor_names_packages_packs_and_licences(dubwright: Command) -> None:
    told = dubwright("doctor", "--json")
    value = the_object(told.stdout)
    found = {entry["id"]: entry for entry in value["items"]}
    assert {"prefect", "ray", "torch", "lancedb", "dvc", "gpu", "prefect server", "face pack studio"} <= found.keys()
    assert "licence" in found["face pack studio"]["metrics"]["detail"]
    assert told.returncode == int(value["counts"]["failed"] > 0)


def test_doctor_warns_of_non_commercial_weights(dubwright: Command, shared_dir: Path) -> None:
    told = dubwright("doctor", "--face-pack", shared_dir / "weights" / "scrfd_2.5g_bnkps.onnx")
    assert "non-commercial" in told.stdout
    assert "not for commercial use" in told.stdout


def test_deployments_name_flows_that_exist_with_parameters_they_take() -> None:
    import inspect
    from importlib import import_module

    import prefect

    for deployment in yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]:
        module, _, name = deployment["entrypoint"].partition(":")
        flow = getattr(import_module(module), name)
        assert isinstance(flow, prefect.Flow)
        assert set(deployment["parameters"]) <= set(inspect.signature(flow.fn).parameters)
        asked = {"sources": ["footage"], "dataset": "d", "model": "m", "image": "p.png", "audio": "a.wav"}
        needed = {
            name: asked[name]
            for name, parameter in inspect.signature(flow.fn).parameters.items()
            if parameter.default is parameter.empty and name not in deployment["parameters"]
        }
        flow.validate_parameters({**needed, **deployment["parameters"]})


def documented() -> list[str]:
    """Every dubwright command line of the README, of docs/ and of dvc.yaml."""
    pages = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
    blocks = [block for page in pages for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)]
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    stages = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"].values()
    return [line for line in [*lines, *(stage["cmd"] for stage in stages)] if line.startswith("dubwright ")]


@pytest.mark.parametrize("line", documented())
def test_documented_commands_and_their_options_exist(line: str) -> None:
    words = shlex.split(line)[1:]
    while words[0] in ("--root", "--profile", "--ray"):  # these may stand before the command
        words = words[2:]
    path = words[:2] if words[0] in ("dataset", "models", "catalog", "studio", "consent") else words[:1]
    text = help_of(*path)
    options = [word.partition("=")[0] for word in words if word.startswith("-")]
    assert [option for option in options if not re.search(rf"{option}[ ,]", text)] == []


@pytest.mark.parametrize("words", [[], ["catalog"]])
def test_a_command_without_words_shows_its_help_and_nothing_else(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr("flows.cli.take_stdout", lambda: None)  # it would keep pytest's own
    assert run(words) == 2
    shown = "".join(capsys.readouterr()).strip()
    assert shown.startswith("Usage: dubwright")
    assert "→" not in shown


def test_the_demo_is_short_but_the_user_s_settings_win() -> None:
    from flows.demo import demo_config
    from flows.options import Options

    quick = demo_config(Options())
    assert (quick.train.steps, quick.evaluate.clips) == (quick.train.short_steps, 2)
    mine = demo_config(Options(settings=("train.steps=3", "render.steps=2")))
    assert (mine.train.steps, mine.render.steps, mine.evaluate.clips) == (3, 2, 2)


def test_paths_are_kept_whole(tmp_path: Path) -> None:
    from flows.cli_running import existing

    (tmp_path / "a.mp4").write_bytes(b"")
    (tmp_path / "sub").mkdir()
    assert existing(tmp_path / "sub" / ".." / "a.mp4") == str((tmp_path / "a.mp4").resolve())
    (tmp_path / "link.mp4").symlink_to(tmp_path / "a.mp4")
    assert existing(tmp_path / "link.mp4") == str(tmp_path / "link.mp4")


def test_a_search_that_finds_nothing_says_what_it_looked_at(dubwright: Command, root: Root) -> None:
    Catalog(root).upsert("clips", [row(CLIPS, clip_id="a", status="ok")])
    told = dubwright("catalog", "search", "quietly happy")
    assert told.returncode == 0, told.stderr
    assert "of the 1 clips only those with a caption" in told.stdout


def test_ctrl_c_is_answered(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("flows.cli.take_stdout", lambda: None)  # it would keep pytest's own
    monkeypatch.setattr("flows.doctor.examine", interrupted)
    assert run(["doctor", "--json"]) == 130
    shown = capsys.readouterr()
    assert "goes on where it stopped" in shown.err
    assert the_object(shown.out)["error"]["exit_code"] == 130


def test_what_the_gate_decided_stands_in_the_result() -> None:
    from flows.cli_running import finished

    entry = {"input": "d@1", "status": "ok", "output": "models/2", "reason": None}
    counts = {"ok": 1, "rejected": 0, "failed": 0}
    given = {"items": [entry], "counts": counts, "seconds": 1.0, "report": "r", "verdict": "champion m@1 kept: worse"}
    _, text, code = finished(given)
    assert "champion m@1 kept: worse" in text
    assert code == 0
