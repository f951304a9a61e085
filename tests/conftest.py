"""Fixtures shared by all tests, and the settings that must be made before JAX is imported."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jaxtyping import install_import_hook

if TYPE_CHECKING:
    from mmm_bayes import FitResult, MMMData
    from mmm_bayes.simulate import SimulatedMMM

# Tolerances are those of the CPU; set JAX_PLATFORMS=cuda to run the same tests on a GPU.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["COLUMNS"] = "100"  # printed tables are the same in every terminal

# Compiling is most of the time of these tests, and their programs run in no time either way.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

# A program that one worker, notebook kernel or subprocess has compiled is there for all others of
# the run. Workers inherit the folder.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _programs = tempfile.TemporaryDirectory(prefix="mmm_bayes_", ignore_cleanup_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _programs.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"

# Shapes and dtypes in the signatures of the array functions are checked here and nowhere else.
# Kept for the session: modules imported later by a test are checked too.
_shape_checks = install_import_hook("mmm_bayes.transforms", "beartype.beartype")


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt: a shell in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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


# One fit a kind of table for the whole session: compiling a sampler takes seconds. Few draws are
# enough for arithmetic, labels and figures; what needs many draws makes its own.
QUICK = {"num_warmup": 150, "num_samples": 150, "num_chains": 2, "block": 50}


@pytest.fixture(scope="session")
def national_simulated() -> SimulatedMMM:
    """National weekly data of 112 weeks, three channels and two controls, with the truth."""
    import jax

    from mmm_bayes import simulate

    return simulate.mmm(jax.random.key(1), num_dates=112, num_channels=3, num_controls=2)


@pytest.fixture(scope="session")
def national_data(national_simulated: SimulatedMMM) -> MMMData:
    """The first 104 weeks: what models are fitted to."""
    data = national_simulated.data
    return data.subset(slice(None, data.dates[103]))


@pytest.fixture(scope="session")
def national_future(national_simulated: SimulatedMMM) -> MMMData:
    """The 8 weeks that follow them."""
    data = national_simulated.data
    return data.subset(slice(data.dates[104], None))


@pytest.fixture(scope="session")
def national_fit(national_data: MMMData) -> FitResult:
    """NUTS fit of the national data; do not change it."""
    import jax

    from mmm_bayes import MMM, ModelSpec

    spec = ModelSpec(
        name="national_test",
        media={"max_lag": 6},
        seasonality=[{"period": "year", "order": 2}],
        sampler=QUICK,
    )
    return MMM(national_data, spec).fit(jax.random.key(2), progress=False)


@pytest.fixture(scope="session")
def geo_data() -> MMMData:
    """Weekly data of four geos with population: 80 weeks, three channels, one control."""
    import jax

    from mmm_bayes import simulate

    return simulate.mmm(
        jax.random.key(3), num_dates=80, num_geos=4, num_channels=3, num_controls=1
    ).data


@pytest.fixture(scope="session")
def geo_fit(geo_data: MMMData) -> FitResult:
    """NUTS fit of the geo data with priors on ROAS; do not change it."""
    import jax

    from mmm_bayes import MMM, ModelSpec

    spec = ModelSpec(name="geo_test", media={"max_lag": 6, "effect": "roas"}, sampler=QUICK)
    return MMM(geo_data, spec).fit(jax.random.key(4), progress=False)
