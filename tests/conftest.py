"""Fixtures shared by all tests, and the settings that must be made before JAX is imported."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# Tolerances are those of the CPU; set JAX_PLATFORMS=cuda to run the same tests on a GPU.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")

# Shapes and dtypes in the signatures of the array functions are checked here and nowhere else.
# Kept for the session: modules imported later by a test are checked too.
_shape_checks = install_import_hook("mmm_bayes.transforms", "beartype.beartype")


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """Root of the repository: the folder of pyproject.toml."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_dir(repo_root: Path) -> Path:
    """Folder of public example tables beside the checkout; the test is skipped without it."""
    path = Path(os.environ.get("MMM_BAYES_SHARED_DIR", repo_root.parent / "shared"))
    if not path.is_dir():
        pytest.skip(f"no folder of public tables at {path}; point MMM_BAYES_SHARED_DIR at one")
    return path
