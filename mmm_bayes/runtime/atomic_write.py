"""Files that are replaced only by whole ones."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_REASONS = {
    errno.ENOSPC: "the disk is full. Free some space, or choose a place on another disk",
    errno.EDQUOT: "your quota on this disk is used up. Free some space, or choose another disk",
    errno.EACCES: "you may not write there. Choose a folder of your own",
    errno.EPERM: "you may not write there. Choose a folder of your own",
    errno.EROFS: "the disk is mounted read-only. Choose another place",
    errno.ENOTDIR: "a part of the path is a file, not a folder. Choose another path",
    errno.EISDIR: "there is a folder of this name. Choose another name",
    errno.ENAMETOOLONG: "the name is too long. Choose a shorter one",
}


class WriteError(OSError):
    """A file could not be written; what was in its place before is still there."""


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a place beside ``path`` to write to, and rename it once all is written and on disk.

    The folder is made if it is not there. If the block fails, what was at ``path`` stays and
    nothing is left beside it. The file has the permissions of any new one.

    Raises
    ------
    WriteError
        If the disk is full, the folder is read-only or the path is none, with what to do.

    Examples
    --------
    >>> with atomic_write("folder/numbers.txt") as place:  # doctest: +SKIP
    ...     place.write_text("1 2 3")
    """
    path = Path(path)
    name = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        yield Path(name)
        with open(name, "rb") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # a temporary file is its owner's alone
        os.replace(name, path)
    except BaseException as error:
        if name is not None:
            Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _REASONS:
            text = f"{path} was not written: {_REASONS[error.errno]}. What was there is untouched."
            raise WriteError(error.errno, text) from error
        raise
