"""Secrets stay where they are: in the environment, not in what is shown, stored or reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli_running import existing_source
from flows.options import Options
from flows.run import Run
from storage.catalog import Catalog
from storage.errors import DubwrightError, InputFailed, InputRejected, UsageError, outcome
from storage.masking import masked
from tasks.config import load_config
from tests.conftest import PROJECT

KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLE"


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql+asyncpg://prefect:{KEY}@db/prefect",
        f"https://user:{KEY}@hub.example/api",
        f"https://bucket.example/film.mp4?X-Amz-Credential=me&X-Amz-Signature={KEY}&x=1",
        f"AccountKey={KEY}",
        f"curl -H 'Authorization: Bearer {KEY}'",
        f"password={KEY}, then",
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str) -> None:
    assert KEY not in masked(text) and "***" in masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/film.mp4", "--set captions.max_tokens=40 --set model.identity_tokens=4", "memory://a@b/c",
        "render.seed=12345678", "file:///a/b@c:d", "12:30 a sign = b",
    ],
)  # fmt: skip
def test_what_is_none_stays(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(
    "name",
    ["AWS_SECRET_ACCESS_KEY", "PREFECT_API_KEY", "GITHUB_TOKEN", "PGPASSWORD", "PREFECT_API_DATABASE_CONNECTION_URL"],
)
def test_the_environments_secrets_are_known_by_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, 'quite"plain\\text')
    said = {"reason": 'the store says: bad key quite"plain\\text'}
    assert "plain" not in masked(said["reason"]) and "plain" not in masked(json.dumps(said))


@pytest.fixture
def run_with_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose params.yaml somebody wrote a secret into that the environment has, too."""
    monkeypatch.setenv("GITHUB_TOKEN", KEY)
    run = Run("preprocess", load_config(root=tmp_path / "root", overrides={"audio.speech": KEY}))
    run.finish()
    return run


def test_the_settings_of_a_run_hold_no_secret(run_with_a_secret: Run) -> None:
    kept = (run_with_a_secret.folder / "config.json").read_text()
    assert KEY not in kept and json.loads(kept)["audio"]["speech"] == "***"


def test_the_row_of_a_run_holds_no_secret(run_with_a_secret: Run) -> None:
    (row,) = Catalog(run_with_a_secret.root).rows("runs")
    assert KEY not in row["config"] and json.loads(row["config"])["audio"]["speech"] == "***"


def test_the_report_of_a_run_holds_no_secret(run_with_a_secret: Run) -> None:
    files = [file for file in run_with_a_secret.report.parent.rglob("*") if file.is_file()]
    assert files and [file for file in files if KEY in file.read_text(errors="replace")] == []


def test_errors_and_rows_do_not_repeat_a_secret() -> None:
    said = f"GET s3://me:{KEY}@bucket/film.mp4 failed"
    for error in (DubwrightError(said, said), InputFailed("film.mp4", said, said), OSError(said),
                  InputRejected("plan", "output", reason=said, remedy=said)):  # fmt: skip
        assert KEY not in outcome(error)["reason"]
    assert KEY not in str(DubwrightError(said, said)) and KEY not in DubwrightError("", said).remedy


COMMAND = """
import sys
from flows.console import emit, emit_json, say, take_stdout
take_stdout()
for tell in (say, emit): tell("said: " + sys.argv[1])
emit_json({"reason": sys.argv[1]})
"""


def test_nothing_that_is_printed_holds_a_secret() -> None:
    said = subprocess.run(
        [sys.executable, "-c", COMMAND, f"bad key {KEY}"], capture_output=True, text=True, cwd=PROJECT, check=True,
        env={**os.environ, "AWS_SECRET_ACCESS_KEY": KEY},
    )  # fmt: skip
    assert said.stdout.count("***") == 2 and said.stderr.count("***") == 1
    assert KEY not in said.stdout + said.stderr


def test_a_file_name_cannot_command_the_terminal() -> None:
    said = subprocess.run(
        [sys.executable, "-c", COMMAND, "a\x1b]0;owned\x07\x1b[2Jb\u202egpj.exe\x9b1m"], capture_output=True, text=True,
        cwd=PROJECT, check=True,
    )  # fmt: skip
    shown = said.stderr + said.stdout.splitlines()[0]
    assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(shown) and "\\x1b]0;owned\\x07" in shown


def test_options_carry_no_secret_into_the_parameters_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "from-the-environment")
    for setting in (f"captions.prompt=token={KEY}", "captions.prompt=from-the-environment"):
        with pytest.raises(UsageError, match="secret") as caught:
            Options(settings=(setting,)).config()
        assert KEY not in str(caught.value) and "from-the-environment" not in str(caught.value)
    for place in (f"s3://me:{KEY}@bucket/films", f"s3://bucket/films?token={KEY}"):
        with pytest.raises(UsageError) as caught:
            existing_source(place)
        assert KEY not in str(caught.value)
    assert existing_source("s3://bucket/films") == "s3://bucket/films"
