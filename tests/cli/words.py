"""All commands of the command line, by their words, from the application itself."""

from collections.abc import Iterator

from cyclopts import App

from service.cli.commands import app


def commands(inside: App = app, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """("lint",), …, ("token", "create"), …: every command that does something."""
    names = [name for name in inside if not name.startswith("-")]
    if words and inside.default_command is not None:
        yield words
    for name in names:
        yield from commands(inside[name], (*words, name))
