"""Replace a file only once its successor is complete and on disk.

Every file that the package writes goes through :func:`atomic_write`. It never replaces a folder, a
device or a socket, one of the inputs of the running command
(:func:`mmm_bayes.runtime.outputs.protect`), or a saved file by something of another kind.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from mmm_bayes.runtime.outputs import (
    Kind,
    WriteError,
    is_protected,
    is_standard_output,
    kind_of,
    unwritable,
)

__all__ = ["WriteError", "atomic_write", "is_temporary", "remove_temporaries"]

_REASONS = {
    errno.ENOSPC: "the disk is full. Free some space, or choose a place on another disk",
    errno.EFBIG: "the file is larger than may be written there. Choose a place on another disk",
    errno.EDQUOT: "your quota on this disk is used up. Free some space, or choose another disk",
    errno.EACCES: "you have no permission to write there. Choose another folder",
    errno.EPERM: "you have no permission to write there. Choose another folder",
    errno.EROFS: "the disk is mounted read-only. Choose another place",
    errno.ENOTDIR: "part of the path is a file, not a folder. Choose another path",
    errno.EEXIST: "part of the path is a file, not a folder. Choose another path",
    errno.EISDIR: "there is a folder of that name. Choose another name",
    errno.ENAMETOOLONG: "the name is too long. Choose a shorter one",
    errno.ELOOP: "the link leads back to itself. Choose another name",
    errno.EIO: "the disk reports an error. Choose a place on another disk",
}
_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")
# First bytes of files that take long to make again, or cannot be made again.
_SAVED = {
    b"\x89HDF\r\n\x1a\n": "a saved fit or another NetCDF file",
    b"PK\x03\x04": "a saved model or another zip file",
    b"PAR1": "a Parquet table",
}
_SHOWN = 100  # characters of a name that its temporary file repeats


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path next to ``path``, and rename it to ``path`` once the block has ended.

    The folder is created if it does not exist. If the block fails, an earlier file at ``path`` is
    unchanged and the temporary one is removed. A new file has the usual permissions, and a file
    that replaces another has those of the earlier one. If ``path`` is a link, the file that it
    leads to is replaced. What is written to a pipe, or to a device such as ``/dev/stdout``, goes
    through it.

    Raises
    ------
    WriteError
        If the disk is full, the folder is read-only, the path cannot exist, or the file must not be
        replaced; the text says what to do.

    Examples
    --------
    >>> with atomic_write("folder/numbers.txt") as place:  # doctest: +SKIP
    ...     place.write_text("1 2 3")
    """
    path, name = Path(path), None
    try:
        kind = kind_of(path)
        if kind is Kind.STREAM:
            with tempfile.TemporaryDirectory() as folder:
                place = Path(folder) / (path.name or "output")
                yield place
                _send(place, path)
            return
        if reason := unwritable(path, kind):
            raise WriteError(errno.EEXIST, f"{path} was not written: {reason}")
        target = path.resolve() if path.is_symlink() else path
        target.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{target.name[:_SHOWN]}."
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=prefix, suffix=".tmp")
        os.close(handle)
        yield Path(name)
        with open(name, "rb") as written:
            os.fsync(written.fileno())
        os.chmod(name, _permissions(target))  # temporary files are readable by their owner only
        _refuse_other_kind(target, Path(name))
        os.replace(name, target)
    except BaseException as error:
        if name is not None:
            with contextlib.suppress(OSError):
                Path(name).unlink(missing_ok=True)
        if (
            isinstance(error, OSError)
            and not isinstance(error, WriteError)
            and error.errno in _REASONS
        ):
            reason = _REASONS[error.errno]
            text = f"{path} was not written: {reason}. An earlier file there is unchanged."
            raise WriteError(error.errno, text) from error
        raise


def is_temporary(name: str) -> bool:
    """Return whether a file name is one that :func:`atomic_write` gives to unfinished files."""
    return _TEMPORARY.fullmatch(name) is not None


def remove_temporaries(folder: Path, names: Collection[str] | None = None) -> None:
    """Delete the unfinished files that a killed process has left in a folder.

    Only the single writer of these files (by default all files of the folder) may call this: to
    anyone else, a file that is being written looks the same.
    """
    starts = None if names is None else tuple(f".{name[:_SHOWN]}." for name in names)
    for path in list(folder.iterdir()):
        if is_temporary(path.name) and (starts is None or path.name.startswith(starts)):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _permissions(target: Path) -> int:
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except OSError:
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask


def _refuse_other_kind(target: Path, new: Path) -> None:
    """Raise if a saved file would be replaced by a file that is not of its kind.

    Also raise if the target has become one of the inputs since the block began.
    """
    if is_protected(target):
        raise WriteError(errno.EEXIST, f"{target} was not written: it is an input of this command.")
    before, after = _first_bytes(target), _first_bytes(new)
    for start, what in _SAVED.items():
        if before.startswith(start) and not after.startswith(start):
            raise WriteError(
                errno.EEXIST,
                f"{target} was not written: the file there is {what}, which would be replaced by "
                "something else. Choose another name, or delete that file first.",
            )


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(8)
    except OSError:
        return b""


def _send(place: Path, path: Path) -> None:
    """Write the content of a file through a pipe or a device."""
    if is_standard_output(path):
        sys.stdout.flush()
        with place.open("rb") as source:
            shutil.copyfileobj(source, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with place.open("rb") as source, path.open("wb") as stream:
        shutil.copyfileobj(source, stream)
