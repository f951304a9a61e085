"""What may be written where: one guard for the outputs of every command and call.

An output is refused if it is one of the inputs, however the two are spelled or linked; if a folder,
a device or a socket is in its place; and, before a long computation starts, if its folder cannot be
written to or its disk has too little space.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path

from mmm_bayes.runtime.findings import DataError, Finding
from mmm_bayes.runtime.numbers import byte_size
from mmm_bayes.runtime.visible import shown_safely

_INPUTS: ContextVar[tuple[Path, ...]] = ContextVar("inputs", default=())
_STANDARD_OUTPUT = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
_LEAST = 2**20  # bytes that any set of results needs


class WriteError(OSError):
    """A file could not be written; an earlier file in its place is unchanged."""

    @shown_safely
    def __str__(self) -> str:
        """Return the text alone: the number of the error says nothing to a user."""
        return self.strerror or super().__str__()


class OutputError(DataError):
    """Results cannot be written where they should be; nothing was computed or changed."""


class Kind(enum.Enum):
    """What there is at a path: nothing, a file, a stream to write through, or an obstacle."""

    ABSENT = "nothing"
    FILE = "a file"
    FOLDER = "a folder"
    STREAM = "a pipe or a device"
    OBSTACLE = "a socket, a disk or a link to itself"


def kind_of(path: Path) -> Kind:
    """Return what there is at a path; a link counts as what it leads to."""
    if is_standard_output(path):
        return Kind.STREAM
    try:
        mode = path.stat().st_mode
    except OSError as error:
        # What keeps a file from being made there is found by making one.
        return Kind.OBSTACLE if error.errno == errno.ELOOP else Kind.ABSENT
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.FOLDER
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        return Kind.STREAM
    return Kind.OBSTACLE


def is_standard_output(path: Path) -> bool:
    """Return whether a path stands for the standard output of this process."""
    return str(path) in _STANDARD_OUTPUT


@contextlib.contextmanager
def protect(inputs: Iterable[Path] = ()) -> Iterator[None]:
    """Keep :func:`~mmm_bayes.runtime.atomic_write.atomic_write` from replacing these files.

    More files can be added in the block with :func:`add_inputs`.
    """
    token = _INPUTS.set((*_INPUTS.get(), *inputs))
    try:
        yield
    finally:
        _INPUTS.reset(token)


def add_inputs(inputs: Iterable[Path]) -> None:
    """Add files to those that the surrounding :func:`protect` keeps."""
    _INPUTS.set((*_INPUTS.get(), *inputs))


def is_protected(path: Path) -> bool:
    """Return whether a path is one of the files kept by :func:`protect`."""
    return any(same_file(path, own) for own in _INPUTS.get())


def same_file(one: Path, other: Path) -> bool:
    """Return whether two paths are one file: through links, hard links, or another spelling."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)


def unwritable(path: Path, kind: Kind) -> str:
    """Return why a file must not be written at a path, with the remedy; empty if it may."""
    if is_protected(path):
        return "it is an input of this command and would be overwritten. Choose another name."
    if kind is Kind.FOLDER:
        return "there is a folder of that name. Choose another name."
    if kind is Kind.OBSTACLE:
        return f"there is {kind.value} of that name. Choose another name."
    return ""


def check_outputs(
    files: Iterable[Path],
    *,
    inputs: Iterable[Path] = (),
    replace: bool = False,
    cleared: Iterable[Path] = (),
    size: int = _LEAST,
    option: str = "--out",
) -> None:
    """Check all places of outputs before anything is computed.

    Parameters
    ----------
    files
        Files that will be written.
    inputs
        Files that are read, and must survive. A folder stands for the fit in it.
    replace
        Whether files that exist may be replaced.
    cleared
        Folders whose content is deleted at the end; no input may be in them.
    size
        Estimated number of bytes of all files together.
    option
        What to change, as the remedy names it.

    Raises
    ------
    OutputError
        With every finding: ``output_is_input``, ``output_is_folder``, ``output_exists``,
        ``input_in_cleared_folder``, ``not_writable`` or ``disk_full``.
    """
    own = [path / "fit.nc" if path.is_dir() else path for path in inputs]
    files, found = list(files), []
    existing = [path for path in files if kind_of(path) is Kind.FILE]
    for path in files:
        if any(same_file(path, one) for one in own) and not is_standard_output(path):
            message = f"{path} is an input of this command and would be overwritten."
            found.append(_finding("output_is_input", path, message, option))
            existing = [one for one in existing if one != path]
        elif reason := unwritable(path, kind_of(path)):
            found.append(_finding("output_is_folder", path, f"{path}: {reason}", option))
    if existing and not replace:
        listed = ", ".join(map(str, existing))
        message = f"{listed} already exists." if len(existing) == 1 else f"{listed} already exist."
        remedy = f"Choose another place with {option}, or replace with --force."
        found.append(Finding("output_exists", "error", message, remedy, where=listed))
    for folder in cleared:
        found += [
            _finding("input_in_cleared_folder", one, f"{one} is read, but {folder} is "
                     "deleted once this command has finished.", option)
            for one in own
            if Path(os.path.realpath(one)).is_relative_to(os.path.realpath(folder))
        ]  # fmt: skip
    for folder in {_existing_parent(path) for path in files if kind_of(path) is not Kind.STREAM}:
        found += folder_findings(folder, size, option)
    if found:
        raise OutputError(found, "the outputs")


def require_space(folder: str | os.PathLike[str], size: int, option: str = "--out") -> None:
    """Raise unless so many bytes can be written to a folder, which need not exist yet.

    What is in the folder already counts as written: a run that resumes needs less.

    Raises
    ------
    OutputError
        If the folder cannot be written to, or its disk has too little space.
    """
    folder = Path(folder)
    written = sum(path.stat().st_size for path in folder.glob("*") if path.is_file())
    if found := folder_findings(folder, max(size - written, _LEAST), option):
        raise OutputError(found, "the outputs")


def folder_findings(folder: Path, size: int, option: str) -> list[Finding]:
    """Return why so many bytes cannot be written to a folder, judged by writing a small file."""
    folder = _existing_parent(folder / "file")
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".mmm_bayes.", suffix=".tmp"):
            pass
        free = shutil.disk_usage(folder).free
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        message = f"{folder} cannot be written to ({reason})."
        return [_finding("not_writable", folder, message, option)]
    if size <= free:
        return []
    message = (
        f"The results need about {byte_size(size)}, but the disk of {folder} has only "
        f"{byte_size(free)} free."
    )
    remedy = f"Free some space, or choose a place on another disk with {option}."
    return [
        Finding("disk_full", "error", message, remedy, where=str(folder), value=free,
                threshold=size)
    ]  # fmt: skip


def _existing_parent(path: Path) -> Path:
    """Return the folder in which a path, or the first missing folder above it, will be made."""
    for folder in path.absolute().parents:
        if folder.exists():
            return folder
    return Path(path.anchor or ".")


def _finding(check: str, path: Path, message: str, option: str) -> Finding:
    remedy = "" if "Choose" in message else f"Choose another place with {option}."
    return Finding(check, "error", message, remedy, where=str(path))
