"""What all commands share: readable errors, the console, and safe writing of files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer

from mmm_bayes.cli.errors import CLOSED_PIPE, INTERRUPTED, PROBLEM, STRICT, CommandError
from mmm_bayes.cli.outputs import Outputs
from mmm_bayes.runtime.visible import visible_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = [
    "INTERRUPTED",
    "PROBLEM",
    "STRICT",
    "CommandError",
    "open_console",
    "outlive_closed_pipes",
    "problems_in_words",
    "write_text",
]


@contextmanager
def problems_in_words(*packages: str) -> Iterator[Outputs]:
    """Print errors that a user can correct without a traceback; bugs keep theirs.

    An error whose class belongs to one of ``packages`` (by default this one) can be corrected.
    The block is given an object to announce its outputs to.
    """
    from mmm_bayes.runtime.outputs import WriteError, protect

    outputs, complete = Outputs(), False
    try:
        with protect():
            yield outputs
        complete = True
    except KeyboardInterrupt as stopped:
        say(f"{f'{stopped}' or 'Stopped.'} {outputs.go_on}")
        raise typer.Exit(INTERRUPTED) from None
    except typer.Exit as end:
        complete = end.exit_code in (0, STRICT)
        raise
    except (OSError, FloatingPointError, MemoryError) as error:
        go_on = f" {outputs.go_on}" if isinstance(error, WriteError) and outputs.begun else ""
        say(f"{error}{go_on}")
        raise typer.Exit(PROBLEM) from None
    except (ImportError, RuntimeError, ValueError) as error:
        own = type(error).__module__.partition(".")[0] in (packages or ("mmm_bayes",))
        own |= isinstance(error, ImportError) and "pip install" in str(error)
        if own or isinstance(error, CommandError):
            say(f"{error}")
            raise typer.Exit(PROBLEM) from None
        raise
    finally:
        outputs.finish(complete)


class _Outliving:
    """A stream that drops text once its reader has gone, so that results are still written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.closed_by_reader = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._drop()

    def _drop(self) -> None:
        self.closed_by_reader = True
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, self._stream.fileno())
        os.close(sink)


def say(text: str) -> None:
    """Print a text on standard error, with every character visible."""
    typer.echo(visible_text(text), err=True)


@contextmanager
def outlive_closed_pipes() -> Iterator[None]:
    """Let a command finish its work after the reader of its output has gone (``| head -1``).

    The process then ends with the exit status of one that was stopped by a closed pipe.
    """
    before = sys.stdout, sys.stderr
    streams = [_Outliving(stream) for stream in before if stream is not None]
    if len(streams) < len(before):  # there is no terminal at all
        yield
        return
    out, error = streams
    sys.stdout, sys.stderr = out, error
    try:
        yield
    except SystemExit as end:
        out.flush()
        if end.code in (None, 0) and out.closed_by_reader:
            raise SystemExit(CLOSED_PIPE) from None
        raise
    except BrokenPipeError:  # the reader of /dev/stdout has gone
        out._drop()
        raise SystemExit(CLOSED_PIPE) from None
    finally:
        error.flush()
        sys.stdout, sys.stderr = before


def open_console(out: Path | None = None) -> Console:
    """Open a console as wide as the terminal, or with a fixed width in a pipe.

    Text is printed without markup, because names come from the user and may look like markup, and
    characters that cannot be seen are escaped, in tables as well. It goes to the standard error if
    ``out``, where results are written, is the standard output.
    """
    from rich.console import Console

    from mmm_bayes.runtime.outputs import is_standard_output

    class SafeConsole(Console):
        def render_str(self, text: str, **settings: Any) -> Text:
            return super().render_str(visible_text(text), **settings)

    aside = out is not None and is_standard_output(out)
    width = None if sys.stdout.isatty() else 110
    return SafeConsole(width=width, soft_wrap=False, markup=False, stderr=aside)


def write_text(path: Path, text: str) -> None:
    """Write a file atomically."""
    from mmm_bayes.runtime.atomic_write import atomic_write

    with atomic_write(path) as place:
        place.write_text(text, encoding="utf-8")
