"""What all commands share: the options that every one of them takes, and how a result becomes output and exit code."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from typing import Any

import typer

from flows.console import emit, emit_json
from flows.options import Options

ERROR_RESULT: dict[str, Any] = {
    "run_id": None, "counts": {"ok": 0, "rejected": 0, "failed": 0}, "items": [], "report": None, "seconds": 0.0,
}  # fmt: skip


class Stop(Exception):
    """A command has ended and written its output; `code` is the exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def listing(items: list[dict[str, Any]], started: float, **more: Any) -> dict[str, Any]:
    """The result of a command that looks things up: each row an item with its columns."""
    entries = [{"status": "ok", **row} for row in items]
    counts = {**ERROR_RESULT["counts"], "ok": len(entries)}
    return {**ERROR_RESULT, "counts": counts, "items": entries, "seconds": round(time.monotonic() - started, 3), **more}


_SHARED = (
    ("root", str | None, None, ("--root",), "Where data lives: a path or an fsspec URI. Default ./data."),
    ("profile", str | None, None, ("--profile",), "studio (default), sd15, or another file of infra/profiles."),
    ("json", bool, False, ("--json",), "One JSON object on standard output, nothing else."),
    ("face_pack", str | None, None, ("--face-pack",), "insightface pack: NAME, DIR or FILE.onnx."),
    ("settings", list[str] | None, None, ("--set",), "Another value of params.yaml: --set render.steps=4."),
)

Command = Callable[..., tuple[dict[str, Any], str, int]]


def command(app: typer.Typer, name: str) -> Callable[[Command], Command]:
    """Register a function as a command; it takes `Options` first, then what its annotations say.

    It returns (result, text for people, exit code); the text is written without `--json`, the result with it.
    """

    def register(function: Command) -> Command:
        @functools.wraps(function)
        def called(context: typer.Context, **given: Any) -> None:
            shared = {entry[0]: given.pop(entry[0]) for entry in _SHARED}
            shared["settings"] = tuple(shared["settings"] or ())
            options = Options(**shared).over(context.obj or Options())
            result, text, code = function(options, **given)
            if options.json:
                emit_json(result)
            elif text:
                emit(text)
            raise Stop(code)

        hints = inspect.get_annotations(function, eval_str=True)
        own = [
            parameter.replace(annotation=hints[parameter.name])
            for parameter in inspect.signature(function).parameters.values()
            if parameter.name != "options"
        ]
        keyword = inspect.Parameter.KEYWORD_ONLY
        shared_parameters = [
            inspect.Parameter(entry, keyword, annotation=kind, default=typer.Option(default, *flags, help=text))
            for entry, kind, default, flags, text in _SHARED
        ]
        context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        parameters = [context, *(entry.replace(kind=keyword) for entry in own), *shared_parameters]
        called.__dict__["__signature__"] = inspect.Signature(parameters)
        called.__annotations__ = {entry.name: entry.annotation for entry in parameters}
        app.command(name)(called)
        return function

    return register
