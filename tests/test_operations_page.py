"""docs/operations.md: every command on it is one that the program has, and those marked ``sh`` do what the page says.

By default those that take moments are run; ``DUBWRIGHT_PAGE=all`` runs them all, in the page's order, in one root.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from flows.cli import APP
from tests.conftest import PROJECT

PAGE = PROJECT / "docs" / "operations.md"
LASTS = ("preprocess", "nightly", "dub")
"""Commands that work on footage, where they do not only plan."""
AFTER_A_NIGHT = ("dataset", "promote", "rollback", "--model")
"""Words of commands that ask for what a night has made."""

RUNNER = """
# Short commands one after the other in this process, to save their start; those with a server each in their own.
import json, subprocess, sys
from flows import cli
for words, is_short in json.loads(sys.argv[1]):
    code = cli.run(words) if is_short else subprocess.run([sys.executable, "-m", "flows.cli", *words]).returncode
    sys.stderr.write(f"exit {code}\\n")
"""


def commands(kind: str) -> list[list[str]]:
    """The words after ``dubwright`` of each command in the blocks of a kind."""
    blocks = re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("dubwright ")]


def is_short(words: list[str]) -> bool:
    return ("--plan" in words or not any(word in LASTS for word in words)) and not set(words) & set(AFTER_A_NIGHT)


def test_every_command_and_option_is_one_of_the_programs() -> None:
    found = [*commands("sh"), *commands("bash")]
    assert len(found) > 25
    for words in found:
        command, rest = typer.main.get_command(APP), list(words)
        context = command.make_context("dubwright", rest)
        while hasattr(command, "commands"):
            name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
            context = command.make_context(name, rest, parent=context)  # raises for what it does not know


def test_what_the_page_links_to_is_there() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE.read_text()):
        assert "://" in link or (PAGE.parent / link).exists(), link


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_the_commands_run_as_they_stand(tmp_path: Path) -> None:
    whole = os.environ.get("DUBWRIGHT_PAGE") == "all"
    chosen = [words for words in commands("sh") if whole or is_short(words)]
    assert len(chosen) > 8
    apart = [["--root", str(tmp_path / "data"), *words] if "--root" not in words else words for words in chosen]
    placed = [([word.replace("../dubwright-", f"{tmp_path}/") for word in words], is_short(words)) for words in apart]
    ran = subprocess.run(
        [sys.executable, "-c", RUNNER, json.dumps(placed)], capture_output=True, text=True, cwd=PROJECT, timeout=5000
    )
    codes = [int(code) for code in re.findall(r"^exit (\d+)$", ran.stderr, re.MULTILINE)]
    wrong = [(words, code) for words, code in zip(chosen, codes, strict=True) if code != 0 and words[0] != "doctor"]
    assert wrong == [], ran.stderr[-4000:]
