"""A folder that a long run keeps what it has finished in, so that it goes on where it stopped.

Three things hold of it. It belongs to one run: a manifest names everything its content depends on,
and a run that differs is refused. One process writes to it at a time: a lock that the system takes
back when the process ends, however it ends. And each file in it is whole: written beside its place,
flushed, then renamed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

import filelock
import numpy as np

from mmm_bayes.runtime.atomic_write import WriteError, atomic_write
from mmm_bayes.runtime.zip_file import expected_zip

NDArray = np.ndarray[Any, Any]

_MANIFEST = "run.json"
_LOCK = ".lock"


class RunFolderError(ValueError):
    """A folder is of another run, is being written to, or holds a file that cannot be read."""


@final
class RunFolder:
    """Arrays by name, in a folder of one run.

    Parameters
    ----------
    folder
        Made if it is not there.
    kind
        What is kept, as a user calls it (``"folds of a validation"``).
    settings
        Everything the content depends on, as JSON takes it. A folder made with others is refused.

    Raises
    ------
    RunFolderError
        If the folder is of another run, is not a run's, or is in use by another process.
    WriteError
        If nothing can be written there.

    Examples
    --------
    >>> with RunFolder("run", "numbers", {"seed": 1}) as run:  # doctest: +SKIP
    ...     if run.read("first") is None:
    ...         run.write("first", {"x": np.arange(3)})
    """

    def __init__(
        self, folder: str | os.PathLike[str], kind: str, settings: Mapping[str, Any]
    ) -> None:
        self.folder = Path(folder)
        self._lock = filelock.FileLock(self.folder / _LOCK, timeout=0)
        manifest = self.folder / _MANIFEST
        wanted = json.loads(json.dumps({"kind": kind, **settings}, sort_keys=True))
        if manifest.exists():
            self._compare(manifest, wanted)
        elif self.folder.is_dir() and any(p.name != _LOCK for p in self.folder.iterdir()):
            raise RunFolderError(
                f"{self.folder} holds other files ({_MANIFEST} is not among them). Choose an empty "
                "or a new folder."
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except filelock.Timeout:
            raise RunFolderError(
                f"{self.folder} is being written to by another process. Wait until it has ended, "
                "or choose another folder."
            ) from None
        except NotImplementedError:
            pass  # a disk without locks (some network ones): one writer is up to the user
        except OSError as error:
            raise WriteError(
                error.errno, f"{self.folder} cannot be written to ({error.strerror})."
            ) from error
        try:
            if not manifest.exists():
                with atomic_write(manifest) as place:
                    place.write_text(json.dumps(wanted, indent=1, sort_keys=True), "utf-8")
        except BaseException:
            self.close()
            raise

    def _compare(self, manifest: Path, wanted: dict[str, Any]) -> None:
        try:
            known = json.loads(manifest.read_text(encoding="utf-8"))
            if not isinstance(known, dict):
                raise ValueError("not an object")
        except (ValueError, OSError) as error:
            raise RunFolderError(
                f"{manifest} cannot be read ({error}). Choose another folder."
            ) from error
        differ = sorted(k for k in known.keys() | wanted.keys() if known.get(k) != wanted.get(k))
        if differ:
            each = "; ".join(
                f"{k}: {_short(known.get(k))} there, {_short(wanted.get(k))} now" for k in differ
            )
            raise RunFolderError(
                f"{self.folder} is of another run ({each}). Choose another folder, or delete this "
                "one to start over."
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
        """Let other processes write to the folder."""
        self._lock.release()

    def names(self) -> list[str]:
        """Names of what is kept, sorted."""
        return sorted(path.stem for path in self.folder.glob("[!.]*.npz"))

    def read(self, name: str) -> dict[str, NDArray] | None:
        """Arrays kept under a name, or ``None``.

        Raises
        ------
        RunFolderError
            If the file is damaged.
        """
        path = self._path(name)
        if not path.exists():
            return None
        try:
            # Opened here, so that it is closed if NumPy cannot read it.
            with path.open("rb") as opened, expected_zip(opened, lambda member: True):
                opened.seek(0)
                with np.load(opened, allow_pickle=False) as file:
                    return dict(file)
        # A damaged zip may raise anything.
        except Exception as error:
            raise RunFolderError(
                f"{path} cannot be read ({error}). Delete it, and this part is made again."
            ) from error

    def write(self, name: str, arrays: Mapping[str, NDArray]) -> None:
        """Keep arrays under a name; they are on disk when this returns.

        Raises
        ------
        WriteError
            If the disk is full or read-only; what is kept already stays.
        """
        with atomic_write(self._path(name)) as place, place.open("wb") as file:
            np.savez(file, allow_pickle=False, **dict(arrays))

    def _path(self, name: str) -> Path:
        if not re.fullmatch(r"[\w-][\w.+=-]{0,150}", name):
            raise RunFolderError(
                f"{name!r:.60} cannot name a file of {self.folder}: use letters, digits and _ - ."
            )
        return self.folder / f"{name}.npz"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
