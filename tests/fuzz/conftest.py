"""The fuzz of ``benchmarks/fuzz.py``, whose modules are scripts beside each other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_BENCHMARKS = str(Path(__file__).resolve().parents[2] / "benchmarks")


@pytest.fixture(scope="session", autouse=True)
def _scripts() -> Iterator[None]:
    sys.path.insert(0, _BENCHMARKS)
    yield
    sys.path.remove(_BENCHMARKS)
