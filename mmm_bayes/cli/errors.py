"""The error of a command, and exit codes."""

from __future__ import annotations

PROBLEM, STRICT, INTERRUPTED, CLOSED_PIPE = 1, 3, 130, 141


class CommandError(ValueError):
    """A command cannot be carried out; the message says why, and what to do."""
