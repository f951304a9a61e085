"""One folder for the parts of a long run, so that the same call resumes where it stopped.

Sampling, training and validation keep their state in such a folder.

- It belongs to one run. A manifest (``run.json``) holds the identity of the run, that is everything
  its content depends on; a run with another identity is refused.
- One process writes to it at a time. The operating system releases the lock when the process ends,
  however it ends.
- Each part is one artifact (:mod:`mmm_bayes.runtime.artifact`), written atomically and with a
  checksum of every array.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

import filelock
import numpy as np

from mmm_bayes.runtime.artifact import Artifact, read_artifact, write_artifact
from mmm_bayes.runtime.artifact_errors import ArtifactError
from mmm_bayes.runtime.atomic_write import WriteError, atomic_write, remove_temporaries
from mmm_bayes.runtime.manifest import read_manifest, refuse_other_files

NDArray = np.ndarray[Any, Any]

_MANIFEST = "run.json"
_LOCK = ".lock"
_FORMAT = 1


class RunFolderError(ArtifactError):
    """A folder belongs to another run, is in use, or holds a part that cannot be read."""


def acquired(lock: filelock.BaseFileLock) -> bool:
    """Take a lock if no other process holds it; return whether this process may write.

    A disk without locks, as some network disks are, leaves it to the user that one process writes.
    """
    try:
        lock.acquire()
    except filelock.Timeout:
        return False
    except NotImplementedError:
        pass
    return True


@final
class RunFolder:
    """Arrays by name, in the folder of one run.

    Parameters
    ----------
    folder
        Created if it does not exist.
    kind
        What the parts are, as a user calls it (``"folds of a validation"``).
    identity
        Everything the content depends on, as JSON holds it. A folder with another identity is
        refused.

    Raises
    ------
    RunFolderError
        If the folder belongs to another run, holds other files, or is in use by another process.
    WriteError
        If the folder cannot be written to.

    Examples
    --------
    >>> with RunFolder("run", "numbers", {"seed": 1}) as run:  # doctest: +SKIP
    ...     if run.read("first") is None:
    ...         run.write("first", {"x": np.arange(3)})
    """

    def __init__(
        self, folder: str | os.PathLike[str], kind: str, identity: Mapping[str, Any]
    ) -> None:
        self.folder, self._kind = Path(folder), kind
        self._lock = filelock.FileLock(self.folder / _LOCK, timeout=0)
        manifest = self.folder / _MANIFEST
        wanted = json.loads(json.dumps({"kind": kind, **identity}, sort_keys=True))
        if manifest.exists():
            self._compare(read_manifest(manifest, RunFolderError), wanted)
        else:
            refuse_other_files(self.folder, _MANIFEST, {_LOCK}, RunFolderError)
        self._acquire()
        try:
            if self._lock.is_locked:
                remove_temporaries(self.folder)
            if not manifest.exists():
                with atomic_write(manifest) as place:
                    place.write_text(json.dumps(wanted, indent=1, sort_keys=True), "utf-8")
        except BaseException:
            self.close()
            raise

    def _acquire(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not acquired(self._lock):
                raise RunFolderError(
                    f"{self.folder} is being written to by another process. Wait until it has "
                    "ended, or choose another folder."
                )
        except OSError as error:
            raise WriteError(
                error.errno,
                f"{self.folder} cannot be written to ({error.strerror}). Choose another folder.",
            ) from error

    def _compare(self, known: dict[str, Any], wanted: dict[str, Any]) -> None:
        differ = sorted(k for k in known.keys() | wanted.keys() if known.get(k) != wanted.get(k))
        if differ:
            each = "; ".join(
                f"{k}: {_short(known.get(k))} there, {_short(wanted.get(k))} now" for k in differ
            )
            raise RunFolderError(
                f"{self.folder} belongs to another run ({each}). Choose another folder, or delete "
                "this one to start over."
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock, so that other processes can write to the folder."""
        self._lock.release()

    def names(self) -> list[str]:
        """Return the names of all parts, sorted."""
        return sorted(path.stem for path in self.folder.glob("[!.]*.npz"))

    def read(self, name: str) -> dict[str, NDArray] | None:
        """Return the arrays of a part, or ``None`` if there is no such part.

        Raises
        ------
        RunFolderError
            If the part is damaged; the text names the array that has changed.
        """
        path = self._path(name)
        if not path.exists():
            return None
        found = read_artifact(
            path, self._kind, _FORMAT, earlier=self._without_record, error=RunFolderError,
            remedy="Delete it, and the same call makes this part again.",
        )  # fmt: skip
        return dict(found.arrays)

    def write(self, name: str, arrays: Mapping[str, NDArray]) -> None:
        """Write the arrays of a part; they are on disk when this returns.

        Raises
        ------
        WriteError
            If the disk is full or read-only; all earlier parts are still there.
        """
        write_artifact(self._path(name), Artifact(self._kind, _FORMAT, arrays))

    def _without_record(self, arrays: dict[str, NDArray], _: dict[str, bytes]) -> Artifact:
        """Return a part that was written before there were checksums."""
        return Artifact(self._kind, _FORMAT, arrays)

    def _path(self, name: str) -> Path:
        if not re.fullmatch(r"[\w-][\w.+=-]{0,150}", name):
            raise RunFolderError(
                f"{name!r:.60} cannot be the name of a file in {self.folder}: use letters, digits "
                "and _ - ."
            )
        return self.folder / f"{name}.npz"


def remove_run(folder: str | os.PathLike[str]) -> None:
    """Delete the files of a finished run, and the folder if nothing else is in it."""
    folder = Path(folder)
    if not (folder / _MANIFEST).is_file():
        return
    parts = folder.glob("[!.]*.npz")
    # The manifest goes last: until then the rest is still known to belong to a run.
    with contextlib.suppress(OSError):
        for path in (*parts, folder / _LOCK, folder / _MANIFEST):
            path.unlink(missing_ok=True)
        remove_temporaries(folder)
        folder.rmdir()


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
