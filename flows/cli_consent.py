"""`dubwright consent …`: who may be animated. The table is ROOT/consent.csv, or what `consent.table` names."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.command import command, listing
from flows.console import table
from flows.options import Options
from storage.errors import UsageError

Outcome = tuple[dict[str, Any], str, int]
Speaker = Annotated[str, typer.Argument(help="Name of the person.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(help="Who may be animated.", no_args_is_help=True, rich_markup_mode=None)
    command(group, "add")(add)
    command(group, "list")(listed)
    command(group, "remove")(remove)
    command(group, "check")(check)
    app.add_typer(group, name="consent")


def add(
    options: Options,
    speaker: Speaker,
    sources: Annotated[list[Path], typer.Argument(help="Pictures or videos of this person alone.")],
    allow: Annotated[bool, typer.Option("--allow", help="This person has agreed.")] = False,
    deny: Annotated[bool, typer.Option("--deny", help="This person is never animated.")] = False,
) -> Outcome:
    """Say of a person that they may, or may never, be animated; replaces what was said of them before."""
    from tasks.consent import add_person

    started = time.monotonic()
    if allow == deny:
        raise UsageError("consent add needs --allow or --deny, and not both", "dubwright consent add NAME FILE --deny")
    config = options.config()
    add_person(config, speaker, allow, sources)
    return _shown(options, started)


def remove(options: Options, speaker: Speaker) -> Outcome:
    """Take a person out of the table: nothing is known of them any more."""
    from tasks.consent_table import remove_entries

    started = time.monotonic()
    remove_entries(options.config(), speaker)
    return _shown(options, started)


def listed(options: Options) -> Outcome:
    """Everybody in the table."""
    return _shown(options, time.monotonic())


def check(options: Options, files: Annotated[list[Path], typer.Argument(help="Pictures or videos.")]) -> Outcome:
    """Who is in these files, and whether they may be animated; exit code 1 where somebody may not."""
    from tasks.consent import faces_checked

    started = time.monotonic()
    config = options.config()
    rows = [row for path in files for row in faces_checked(path, config)]
    shown = table(rows, ["input", "face", "consent", "speaker", "likeness", "animated"]) if rows else "no face found"
    return listing(rows, started), shown, int(any(not row["animated"] for row in rows))


def _shown(options: Options, started: float) -> Outcome:
    from tasks.consent_table import read_entries, table_place

    place = table_place(options.config())
    entries = read_entries(place) if place is not None else []
    rows = [{"speaker": entry.speaker, "consent": entry.consent, "source": entry.source} for entry in entries]
    shown = table(rows, ["speaker", "consent", "source"]) if rows else "nobody is in the consent table"
    return listing(rows, started), shown, 0
