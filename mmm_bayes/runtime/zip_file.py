"""Open zip files from untrusted sources, after checking that they hold what is expected."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

# Deflate shrinks content by a factor of at most 1032.
_MOST = 1040


class ZipError(ValueError):
    """A zip file has unexpected members, or declares more content than it can hold."""


@contextmanager
def expected_zip(
    source: str | os.PathLike[str] | IO[bytes], belongs: Callable[[str], bool]
) -> Iterator[zipfile.ZipFile]:
    """Open a zip file and check its members before any is read.

    Parameters
    ----------
    source
        A path, or an open file.
    belongs
        Returns whether a member of that name is expected. No member is ever written to disk under
        its own name.

    Raises
    ------
    ZipError
        If a member is not expected, occurs twice, is compressed by a method other than deflate, or
        the declared sizes add up to more than the file can hold.
    zipfile.BadZipFile
        If it is not a zip file.
    """
    with zipfile.ZipFile(source) as file:
        seen: set[str] = set()
        for member in file.infolist():
            name = member.filename
            if not belongs(name):
                raise ZipError(f"the member {name!r:.80} is not expected")
            if name in seen:
                raise ZipError(f"the member {name!r:.80} occurs twice")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ZipError(f"the member {name!r:.80} is compressed by an unknown method")
            if member.flag_bits & 0x1:
                raise ZipError(f"the member {name!r:.80} is encrypted")
            seen.add(name)
        declared = sum(member.file_size for member in file.infolist())
        packed = os.fstat(file.fp.fileno()).st_size if file.fp else 0
        if declared > _MOST * packed:
            raise ZipError(f"{packed} bytes cannot hold the declared {declared}")
        yield file
