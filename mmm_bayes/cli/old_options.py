"""Options under the names they had before: they still work, and ``--help`` shows the new ones."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

from mmm_bayes.cli.outputs import note_command

_NEW = {
    "--draws": "--num-samples",
    "--warmup": "--num-warmup",
    "--chains": "--num-chains",
    "--bootstrap": "--num-bootstrap",
    "--folds": "--num-folds",
    "--rows": "--num-rows",
}


class CommandsWithOldOptions(TyperGroup):
    """A group whose commands take the old names of their options."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command and its arguments, old names of options replaced."""
        name, command, rest = super().resolve_command(ctx, args)
        known = {text for own in getattr(command, "params", []) for text in own.opts}
        rest = [_renamed(text, known) for text in rest]
        note_command(name, rest)
        return name, command, rest


def _renamed(text: str, known: set[str]) -> str:
    option, equals, value = text.partition("=")
    new = _NEW.get(option)
    return f"{new}{equals}{value}" if new in known else text
