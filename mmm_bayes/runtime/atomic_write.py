"""Replace a file only once its successor is complete and on disk."""

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
    errno.EACCES: "you have no permission to write there. Choose another folder",
    errno.EPERM: "you have no permission to write there. Choose another folder",
    errno.EROFS: "the disk is mounted read-only. Choose another place",
    errno.ENOTDIR: "part of the path is a file, not a folder. Choose another path",
    errno.EISDIR: "there is a folder of that name. Choose another name",
    errno.ENAMETOOLONG: "the name is too long. Choose a shorter one",
}


class WriteError(OSError):
    """A file could not be written; an earlier file in its place is unchanged."""


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path next to ``path``, and rename it to ``path`` once the block has ended.

    The folder is created if it does not exist. If the block fails, an earlier file at ``path`` is
    unchanged and the temporary one is removed. The new file has the usual permissions.

    Raises
    ------
    WriteError
        If the disk is full, the folder is read-only, or the path cannot exist; the text says what
        to do.

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
        os.chmod(name, 0o666 & ~umask)  # temporary files are readable by their owner only
        os.replace(name, path)
    except BaseException as error:
        if name is not None:
            Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _REASONS:
            reason = _REASONS[error.errno]
            text = f"{path} was not written: {reason}. An earlier file there is unchanged."
            raise WriteError(error.errno, text) from error
        raise
