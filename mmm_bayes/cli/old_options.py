"""Groups of commands: options under the names they had before, and errors that show what was typed.

Old names still work; ``--help`` shows the new ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from typer.core import TyperGroup

from mmm_bayes.cli.outputs import note_command
from mmm_bayes.runtime.visible import visible_text

_NEW = {
    "--draws": "--num-samples",
    "--warmup": "--num-warmup",
    "--chains": "--num-chains",
    "--bootstrap": "--num-bootstrap",
    "--folds": "--num-folds",
    "--rows": "--num-rows",
}

_WORDS = {
    "Input should be a valid integer, unable to parse string as an integer": (
        "it should be a whole number"
    ),
    "Input should be a valid number, unable to parse string as a number": "it should be a number",
    "Input should": "it should",
}


class CommandsWithOldOptions(TyperGroup):
    """A group whose commands take the old names of their options."""

    def make_context(self, *args: Any, **settings: Any) -> Any:
        """Read the options of the group; errors about them show every character."""
        with _visible_errors():
            return super().make_context(*args, **settings)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; errors about its options show every character."""
        with _visible_errors():
            return super().invoke(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command and its arguments, old names of options replaced."""
        name, command, rest = super().resolve_command(ctx, args)
        known = {text for own in getattr(command, "params", []) for text in own.opts}
        rest = [_renamed(text, known) for text in rest]
        note_command(name, rest)
        return name, command, rest


@contextmanager
def _visible_errors() -> Iterator[None]:
    """Escape what was typed in the message of an error about options."""
    try:
        yield
    except Exception as caught:
        error: Any = caught
        if hasattr(error, "format_message"):  # ClickException, of which typer has its own copy
            error.message = visible_text(_plain(error.message))
            if isinstance(getattr(error, "param_hint", None), str):
                error.param_hint = visible_text(error.param_hint)
        raise


def _plain(message: str) -> str:
    """Say what a number should be without the words of the library that reads it."""
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    return message


def _renamed(text: str, known: set[str]) -> str:
    option, equals, value = text.partition("=")
    new = _NEW.get(option)
    return f"{new}{equals}{value}" if new in known else text
