"""What all commands share: readable errors, the console, and safe writing of files."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console

PROBLEM, STRICT, INTERRUPTED = 1, 3, 130


class CommandError(ValueError):
    """A command cannot be carried out; the message says why, and what to do."""


@contextmanager
def problems_in_words(*packages: str) -> Iterator[None]:
    """Print errors that a user can correct without a traceback; bugs keep theirs.

    An error whose class belongs to one of ``packages`` (by default this one) can be corrected.
    """
    try:
        yield
    except KeyboardInterrupt as stopped:
        typer.echo(f"{stopped}" or "Stopped.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except typer.Exit:
        raise
    except (OSError, FloatingPointError, MemoryError) as error:
        typer.echo(f"{error}", err=True)
        raise typer.Exit(PROBLEM) from None
    except (ImportError, RuntimeError, ValueError) as error:
        own = type(error).__module__.partition(".")[0] in (packages or ("mmm_bayes",))
        own |= isinstance(error, ImportError) and "pip install" in str(error)
        if own or isinstance(error, CommandError):
            typer.echo(f"{error}", err=True)
            raise typer.Exit(PROBLEM) from None
        raise


def claim_folder(out: Path, force: bool, files: Iterable[str], inputs: Iterable[Path]) -> None:
    """Create the folder for results, unless that would overwrite a file."""
    if out.exists() and not out.is_dir():
        raise CommandError(f"--out should be a folder, but {out} is a file.")
    present = [name for name in files if (out / name).exists()]
    read = {path.resolve() for path in inputs}
    if own := [name for name in present if (out / name).resolve() in read]:
        raise CommandError(
            f"{out / own[0]} is an input of this command and would be overwritten: choose another "
            "folder with --out."
        )
    if present and not force:
        raise CommandError(
            f"{out} already contains {', '.join(present)}. Choose another folder with --out, or "
            "replace the files with --force."
        )
    out.mkdir(parents=True, exist_ok=True)


def open_console() -> Console:
    """Open a console as wide as the terminal, or with a fixed width in a pipe.

    Text is printed without markup, because names come from the user and may look like markup.
    """
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 110, soft_wrap=False, markup=False)


def write_text(path: Path, text: str) -> None:
    """Write a file atomically."""
    from mmm_bayes.runtime.atomic_write import atomic_write

    with atomic_write(path) as place:
        place.write_text(text, encoding="utf-8")
