"""The `dubwright` command: usage in, results out. What is done stands in the flows; they are imported when they run."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

import typer

from flows import (
    cli_catalog,
    cli_consent,
    cli_data,
    cli_dub,
    cli_jobs,
    cli_operations,
    cli_serving,
    cli_studio,
    cli_verify,
)
from flows.command import ERROR_RESULT, Stop
from flows.console import emit_json, say, take_stdout
from flows.options import Options
from storage.errors import DubwrightError

INTERRUPTED = 130

APP = typer.Typer(
    name="dubwright",
    help="Footage into trained, emotion-controllable talking-face models, and models into dubbed content libraries.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@APP.callback()
def options(
    context: typer.Context,
    root: str | None = typer.Option(None, help="Where data lives: a path or an fsspec URI. Default ./data."),
    profile: str | None = typer.Option(None, help="studio (default), sd15, or another file of infra/profiles."),
    json: bool = typer.Option(False, "--json", help="One JSON object on standard output, nothing else."),
    face_pack: str | None = typer.Option(None, help="insightface pack: NAME, DIR or FILE.onnx."),
    ray: str | None = typer.Option(None, help="Ray cluster: HOST:PORT, auto or local. Default: RAY_ADDRESS, else own."),
) -> None:
    """Options before the command; each command takes them too."""
    context.obj = Options(root=root, profile=profile, json=json, face_pack=face_pack, ray=ray)


GROUPS = (
    cli_jobs, cli_serving, cli_dub, cli_data, cli_catalog, cli_studio, cli_verify, cli_consent, cli_operations,
)  # fmt: skip
for module in GROUPS:
    module.add_to(APP)


def main(arguments: list[str] | None = None) -> None:
    """Entry point. Exit code 0: all done; 1: some items failed or were rejected; 2: wrong usage or configuration."""
    words = sys.argv[1:] if arguments is None else arguments
    sys.exit(run(words))


def run(words: list[str]) -> int:
    """Carry out one command line; returns the exit code."""
    wants_json = "--json" in words
    helped = any(word in ("--help", "-h") for word in words) or not words
    if not helped:
        take_stdout()
    try:
        outcome = APP(args=words, standalone_mode=False, prog_name="dubwright")
        if outcome == INTERRUPTED:  # what typer makes of KeyboardInterrupt
            raise KeyboardInterrupt
        return outcome if isinstance(outcome, int) else 0
    except Stop as stop:
        return stop.code
    except DubwrightError as error:
        return _explain(error.message, error.remedy, error.exit_code, wants_json)
    except KeyboardInterrupt:
        remedy = "run the same command again: it goes on where it stopped"
        return _explain("interrupted", remedy, INTERRUPTED, wants_json)
    except Exception as error:  # noqa: BLE001 - the last stop: no user should be shown a traceback
        if hasattr(error, "exit_code") and hasattr(error, "format_message"):  # usage errors of typer's parser
            if type(error).__name__ == "NoArgsIsHelpError":
                say(error.format_message())
                return 2
            return _explain(error.format_message(), "see `dubwright --help`", 2, wants_json)
        if os.environ.get("DUBWRIGHT_TRACEBACK"):
            traceback.print_exc()
        remedy = "this is a defect of dubwright: run again with DUBWRIGHT_TRACEBACK=1 and report what it prints"
        return _explain(f"{type(error).__name__}: {error}", remedy, 1, wants_json)


def _explain(message: str, remedy: str, code: int, wants_json: bool) -> int:
    say(f"dubwright: {message}" + (f"\n  → {remedy}" if remedy else ""))
    if wants_json:
        result: dict[str, Any] = {**ERROR_RESULT, "error": {"message": message, "remedy": remedy, "exit_code": code}}
        emit_json(result)
    return code


if __name__ == "__main__":
    main()
