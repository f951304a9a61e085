"""Resumable sampling: the state of the chains, written to disk at intervals.

A part holds the iterations since the part before, and the state that the chain continues from.
Parts are written atomically (:mod:`mmm_bayes.runtime.run_folder`), so a process that is killed at
any moment leaves a run that resumes from its last part and reaches the same draws as one that was
never stopped: random keys depend on the number of the block, and a part ends with a block.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

import numpy as np
from pydantic import Field

from mmm_bayes.inference.sharding import any_process, least_process
from mmm_bayes.runtime.atomic_write import WriteError
from mmm_bayes.runtime.run_folder import RunFolder, RunFolderError
from mmm_bayes.runtime.settings import Frozen
from mmm_bayes.runtime.warn import warn_user

NDArray = np.ndarray[Any, Any]
Part = dict[str, NDArray]


class SamplingWarning(UserWarning):
    """Sampling continues, or has ended, but not as requested."""


@final
class Checkpoint(Frozen):
    """Where a long run keeps its state, and how often.

    Parameters
    ----------
    folder
        Folder of one run; created if it does not exist. The same call with it resumes where the run
        stopped, and a call that differs (table, model, settings, key) is refused.
    draws
        Iterations of a chain between parts (rounded up to blocks of the sampler).
    minutes
        Minutes between parts; one minute if neither is given.

    Raises
    ------
    SettingsError
        If the folder is not a path, or an interval is not positive.
    """

    folder: Path
    draws: int | None = Field(None, gt=0)
    minutes: float | None = Field(None, gt=0)

    def __init__(
        self,
        folder: str | os.PathLike[str],
        draws: int | None = None,
        minutes: float | None = None,
    ) -> None:
        given: dict[str, Any] = {"folder": folder, "draws": draws, "minutes": minutes}
        super().__init__(**given)

    def open(self, settings: Mapping[str, Any]) -> OpenCheckpoint:
        """Take the folder for this process.

        Raises
        ------
        RunFolderError
            If it belongs to another run, or is in use.
        WriteError
            If it cannot be written to.
        """
        return OpenCheckpoint(self, settings)


class OpenCheckpoint:
    """The folder of a checkpoint, locked; a context manager that releases it."""

    def __init__(self, every: Checkpoint, settings: Mapping[str, Any]) -> None:
        self.every = every
        self._run = RunFolder(every.folder, "draws of a sampler", settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run.close()

    def parts_of(self, chains: tuple[int, ...]) -> ChainParts:
        """Return the parts of chains that step together."""
        return ChainParts(self._run, self.every, "chain_" + "_".join(map(str, chains)))


class ChainParts:
    """Parts of one chain, or of chains that step together, in order."""

    def __init__(self, run: RunFolder, every: Checkpoint, name: str) -> None:
        self._run, self._every, self._name = run, every, name
        self._number = 0
        self._written, self._at = 0, time.monotonic()

    def _part(self, number: int) -> str:
        return f"{self._name}.{number:06d}"

    def load(self) -> list[Part]:
        """Return the parts written before, up to the first gap and as many as every process has."""
        found: list[Part] = []
        while (part := self._run.read(self._part(len(found)))) is not None:
            found.append(part)
        found = found[: least_process(len(found))]
        self._number = len(found)
        if found:
            self._written = int(found[-1]["done"])
        self._at = time.monotonic()
        return found

    def due(self, done: int) -> bool:
        """Return whether it is time for the next part, after ``done`` iterations."""
        every = self._every
        by_draws = every.draws is not None and done - self._written >= every.draws
        minutes = every.minutes
        if minutes is None and every.draws is None:
            minutes = 1.0
        by_time = minutes is not None and time.monotonic() - self._at >= 60.0 * minutes
        return any_process(by_draws or by_time)

    def write(self, done: int, part: Part) -> bool:
        """Write the next part, and return whether it could be written.

        A full disk does not end a run of hours: there is a warning, and the next part holds more.
        """
        try:
            self._run.write(self._part(self._number), part | {"done": np.asarray(done)})
        except WriteError as error:
            warn_user(
                f"A checkpoint was not written; sampling continues: {error}",
                SamplingWarning,
            )
            self._at = time.monotonic()
            return False
        self._number += 1
        self._written, self._at = done, time.monotonic()
        return True


def joined(parts: list[Part], names: tuple[str, ...], prefix: str) -> Part | None:
    """Join the arrays ``prefix + name`` (chain, iteration, ...) of all parts that have them.

    Raises
    ------
    RunFolderError
        If parts do not fit together.
    """
    having = [part for part in parts if prefix + names[0] in part]
    if not having:
        return None
    try:
        return {
            name: np.concatenate([part[prefix + name] for part in having], axis=1) for name in names
        }
    except (KeyError, ValueError) as error:
        raise RunFolderError(
            f"The parts of the checkpoint do not fit together ({error}). Delete the folder to "
            "start over."
        ) from error
