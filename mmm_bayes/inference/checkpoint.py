"""Resumable sampling: what chains have done, on disk at intervals.

A part holds the iterations since the part before, and the state the chain goes on from. Parts are
written whole (:mod:`mmm_bayes.runtime.run_folder`), so that a process that is killed at any moment
leaves a run that goes on from its last part, to the same draws as if nothing had happened: random
keys depend on the number of the block, and a part ends with a block.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, final

import numpy as np

from mmm_bayes.inference.sharding import any_process, least_process
from mmm_bayes.runtime.atomic_write import WriteError
from mmm_bayes.runtime.run_folder import RunFolder, RunFolderError

NDArray = np.ndarray[Any, Any]
Part = dict[str, NDArray]


class SamplingWarning(UserWarning):
    """Sampling goes on, or has ended, but not as asked for."""


@final
@dataclass(frozen=True)
class Checkpoint:
    """Where and how often a long run is kept.

    Parameters
    ----------
    folder
        Folder of one run; made if it is not there. The same call with it goes on where the run
        stopped, and a call that differs (table, model, settings, key) is refused.
    draws
        Iterations of a chain between parts (rounded up to blocks of the sampler).
    minutes
        Minutes between parts; one minute when neither is given.

    Raises
    ------
    ValueError
        If an interval is not positive.
    """

    folder: str | os.PathLike[str]
    draws: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        for name in ("draws", "minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} of a checkpoint should be positive; got {value}.")

    def open(self, settings: Mapping[str, Any]) -> OpenCheckpoint:
        """Take the folder for this process.

        Raises
        ------
        RunFolderError
            If it is of another run, or in use.
        WriteError
            If it cannot be written to.
        """
        return OpenCheckpoint(self, settings)


class OpenCheckpoint:
    """A checkpoint's folder, taken; a context manager that lets go of it."""

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
        """Parts of the chains that step together."""
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
        """Parts written before, up to the first gap and to what all processes have."""
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
        """Whether it is time for the next part, ``done`` iterations being made."""
        every = self._every
        by_draws = every.draws is not None and done - self._written >= every.draws
        minutes = every.minutes
        if minutes is None and every.draws is None:
            minutes = 1.0
        by_time = minutes is not None and time.monotonic() - self._at >= 60.0 * minutes
        return any_process(by_draws or by_time)

    def write(self, done: int, part: Part) -> bool:
        """Write the next part; says whether it could be written.

        A disk that is full does not end a run of hours: it warns, and the next part holds more.
        """
        try:
            self._run.write(self._part(self._number), part | {"done": np.asarray(done)})
        except WriteError as error:
            warnings.warn(
                f"A checkpoint was not written, and sampling goes on: {error}",
                SamplingWarning,
                stacklevel=2,
            )
            self._at = time.monotonic()
            return False
        self._number += 1
        self._written, self._at = done, time.monotonic()
        return True


def joined(parts: list[Part], names: tuple[str, ...], prefix: str) -> Part | None:
    """Arrays ``prefix + name`` (chain, iteration, ...) of all parts that have them, in a row.

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
            f"Parts of the checkpoint do not fit together ({error}). Delete the folder to start "
            "over."
        ) from error
