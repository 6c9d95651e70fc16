"""What all commands share: the options that every one of them takes, and how a result becomes output and exit code."""

from __future__ import annotations

import contextlib
import functools
import inspect
import time
from collections.abc import Callable, Iterator
from typing import Any

import typer

from flows.console import emit, emit_json, say
from flows.options import Options
from storage.errors import DubwrightError
from storage.layout import Root

ERROR_RESULT: dict[str, Any] = {
    "run_id": None, "counts": {"ok": 0, "rejected": 0, "failed": 0}, "items": [], "report": None, "seconds": 0.0,
}  # fmt: skip


class Stop(Exception):
    """A command has ended and written its output; `code` is the exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@contextlib.contextmanager
def _in_step(root: Root) -> Iterator[None]:
    """Let a command find what other machines did to a remote root, and leave there what it did, whatever it came to."""
    if root.is_local:
        yield
        return
    from storage.mirror import bring, publish

    bring(root.create())
    try:
        yield
    except BaseException:
        try:
            publish(root)
        except DubwrightError as error:  # what ended the command is the error to be told
            say(f"not published: {error}")
        raise
    publish(root)


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
    ("ray", str | None, None, ("--ray",), "Ray cluster: HOST:PORT, auto or local. Default: RAY_ADDRESS, else its own."),
    ("settings", list[str] | None, None, ("--set",), "Another value of params.yaml: --set render.steps=4."),
)


def words_of(options: Options) -> list[str]:
    """Options as words of a command line."""
    words: list[str] = []
    for name, kind, _, flags, _ in _SHARED:
        value = getattr(options, name)
        if kind is bool:
            words += [flags[0]] * bool(value)
        else:
            values = value if isinstance(value, (list, tuple)) else [value] if value else []
            words += [word for entry in values for word in (flags[0], str(entry))]
    return words


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
            with _in_step(options.place()):
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
