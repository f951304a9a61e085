"""Cells of the benchmark of the executor, for workers to import: they load nothing heavy."""

from __future__ import annotations

import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmm_bayes.runtime.jobs.tasks import digest


@dataclass(frozen=True)
class Sleep:
    """Sleeps; leaves a file in a folder each time it is begun."""

    number: int
    seconds: float
    folder: str

    @property
    def key(self) -> str:
        return digest(["sleep", self.number])

    @property
    def described(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    @property
    def seed(self) -> int:
        return self.number


def sleep(cell: Sleep) -> list[dict[str, Any]]:
    """Sleep; return when it began and ended, and in which process."""
    began = time.time()
    (Path(cell.folder) / f"{cell.number}-{os.getpid()}-{uuid.uuid4().hex}").touch()
    time.sleep(cell.seconds)
    return [{"number": cell.number, "pid": os.getpid(), "began": began, "ended": time.time()}]
