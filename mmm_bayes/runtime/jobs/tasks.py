"""Cells: independent pieces of work, each with a key that also names its result.

The modules of executor and store import nothing heavy: a worker must set its number of threads
before NumPy and JAX load, and a cheap cell should not wait for them.
"""

from __future__ import annotations

import hashlib
import json
import re
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, final

from mmm_bayes._version import __version__
from mmm_bayes.runtime.visible import shown_safely

_KEY = re.compile(r"[0-9a-f]{8,64}")
_LISTED = 10  # failures that an error names
_TRACE = 4000  # characters kept of a traceback: its end says what happened


class Cell(Protocol):
    """A piece of work; the cell and its result can be pickled."""

    @property
    def key(self) -> str:
        """Hexadecimal key derived from everything the result depends on."""


class StoredCell(Cell, Protocol):
    """A cell whose result is stored together with its settings."""

    @property
    def described(self) -> dict[str, Any]:
        """Settings, as JSON holds them."""

    @property
    def seed(self) -> int | None:
        """Seed of the random numbers."""


@final
@dataclass(frozen=True)
class Failure:
    """Why a cell has no result.

    Attributes
    ----------
    reason : {"error", "lost"}
        The cell raised, or its worker died.
    message : str
        Type and text of the error, or how the worker ended.
    traceback : str
        End of the traceback; empty for a lost worker.
    attempts : int
        How often the cell was begun.
    """

    reason: Literal["error", "lost"]
    message: str
    traceback: str = ""
    attempts: int = 1

    @shown_safely
    def __str__(self) -> str:
        times = "" if self.attempts == 1 else f" ({self.attempts} attempts)"
        return f"{self.message}{times}"


class RunError(RuntimeError):
    """Some cells failed; the results of the others are stored."""

    @classmethod
    def listing(
        cls, failures: Sequence[tuple[object, Failure]], total: int, place: object
    ) -> RunError:
        """Build the error that names the first failures and where the other results are."""
        listed = "\n".join(
            f"  {number}. {cell}: {failure}"
            for number, (cell, failure) in enumerate(failures[:_LISTED], 1)
        )
        return cls(
            f"{len(failures)} of {total} runs failed; the results of the others are in {place}. "
            f"The same call runs the failed ones again. The first are:\n{listed}"
        )


class WorkerError(RuntimeError):
    """Workers cannot be started, or the cluster cannot be reached."""


def attempt[C, R](
    make: Callable[[C], R], cell: C, version: str = __version__
) -> tuple[R | None, Failure | None]:
    """Return the result of a cell, or its failure; this runs in the worker.

    Errors are returned as text, because not every exception can be pickled.
    """
    if version != __version__:
        text = (
            f"WorkerError: the worker has mmm_bayes {__version__}, and this process {version}. "
            "Install the same version on all machines."
        )
        return None, Failure("error", text)
    try:
        return make(cell), None
    except Exception as error:
        return None, failure_of(error)


def failure_of(error: BaseException) -> Failure:
    """Describe an exception."""
    trace = "".join(traceback.format_exception(error))[-_TRACE:]
    return Failure("error", f"{type(error).__name__}: {error}", trace)


def digest(content: Any) -> str:
    """Compute a hexadecimal key of JSON content, in which 3 and 3.0 are the same."""
    text = json.dumps(_same_type(content), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def check_key(key: object) -> str:
    """Return a key after checking that it can be the name of a file.

    Raises
    ------
    ValueError
        If it is not 8 to 64 hexadecimal digits.
    """
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise ValueError(
            f"The key of a cell should be 8 to 64 digits of 0-9 and a-f (see "
            f"mmm_bayes.runtime.jobs.tasks.digest), but is {key!r}."
        )
    return key


def _same_type(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _same_type(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_same_type(part) for part in value]
    return float(value) if isinstance(value, int) else value
