"""Cells that cost nothing, for workers to import: they load neither NumPy nor JAX."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmm_bayes.runtime.jobs.tasks import digest


@dataclass(frozen=True)
class Cheap:
    """A number; each time it is begun it leaves a file that says in which process."""

    number: int
    kind: str = "fine"
    folder: str = ""
    sleep: float = 0.0

    @property
    def key(self) -> str:
        return digest(["cheap", self.number])

    @property
    def described(self) -> dict[str, Any]:
        return {"number": self.number}

    @property
    def seed(self) -> int:
        return self.number

    def begun(self) -> list[int]:
        """Processes in which it was begun."""
        return [int(p.name.split("-")[1]) for p in Path(self.folder).glob(f"{self.number}-*")]


def square(cell: Cheap) -> list[dict[str, Any]]:
    """Its square; or what its kind says."""
    if cell.folder:
        (Path(cell.folder) / f"{cell.number}-{os.getpid()}-{uuid.uuid4().hex}").touch()
    time.sleep(cell.sleep)
    if cell.kind == "raise":
        raise MemoryError(f"cell {cell.number} is too large")
    if cell.kind == "raise once" and len(cell.begun()) == 1:
        raise OSError("a hiccup")
    if cell.kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if cell.kind == "kill once" and len(cell.begun()) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if cell.kind == "exit":
        raise SystemExit(3)
    if cell.kind == "unpicklable":
        return [{"number": threading.Lock()}]
    return [{"number": cell.number, "square": cell.number**2, "pid": os.getpid()}]


def cells(count: int, **options: Any) -> list[Cheap]:
    """So many cells of one kind."""
    return [Cheap(number, **options) for number in range(count)]
