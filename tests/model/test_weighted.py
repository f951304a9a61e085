"""Rows with likelihood weights, and rows appended to the table's."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmm_bayes import MMM, MMMData, ModelSpec, simulate
from mmm_bayes.inference.tracing import compile_program
from mmm_bayes.model.arrays import AddedRows, augmented_arrays
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.linear_block import prepare_block
from mmm_bayes.model.predictor import linear_predictor, observation
from mmm_bayes.model.program import Program, program_for
from mmm_bayes.model.structure import ModelArrays, Structure

WEEKS = 30
SMALL: dict[str, Any] = {"media": {"max_lag": 4}, "seasonality": [{"period": "year", "order": 1}]}
ROAS: dict[str, Any] = SMALL | {"media": {"max_lag": 4, "effect": "roas"}}
MODELS: dict[str, dict[str, Any]] = {
    "rotated": SMALL,
    "process": ROAS | {"trend": {"kind": "hsgp", "n_basis": 4}},
    "geo normal": SMALL | {"geo": {"media": "normal"}},
    "geo log-normal": ROAS | {"geo": {"media": "log_normal"}},
    "student_t": SMALL | {"likelihood": {"family": "student_t"}},
    "geo counts": SMALL | {"likelihood": {"family": "negative_binomial"}},
}


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


class Held(NamedTuple):
    """A model of a small table and its arrays."""

    structure: Structure
    arrays: ModelArrays

    def with_weight(self, weight: np.ndarray) -> ModelArrays:
        block = prepare_block(self.structure, self.arrays.design, weight)
        return self.arrays._replace(block=block, likelihood_weight=weight)

    def program(self, marginal: bool) -> Program:
        return program_for(self.structure, marginal, "float64")


def data_for(name: str) -> MMMData:
    return simulate.mmm(
        jax.random.key(41),
        num_dates=WEEKS,
        num_channels=2,
        num_controls=2,
        num_geos=3 if name.startswith("geo") else 1,
        likelihood="negative_binomial" if name.endswith("counts") else "normal",
    ).data


def hold(name: str) -> Held:
    data, spec = data_for(name), ModelSpec(**MODELS[name])
    return Held(MMM(data, spec).structure, Fitted(spec, data, None).arrays)  # type: ignore[arg-type]


_held = functools.cache(hold)
_evaluate: dict[Any, Any] = {}


SLOW = ("process", "geo normal", "student_t")


def _cases(*names: str, slow: tuple[str, ...] = SLOW) -> list[Any]:
    marks = {name: [pytest.mark.slow] if name in slow else [] for name in names}
    return [pytest.param(name, marks=marks[name]) for name in names]


@pytest.fixture(params=_cases(*MODELS))
def held(request: pytest.FixtureRequest) -> Held:
    return _held(request.param)


def forms(held: Held) -> list[Program]:
    """The form that fits sample, and once the plain form of a Gaussian likelihood."""
    both = (True, False) if held.structure.is_rotated else (True,)
    return [held.program(marginal) for marginal in both]


def potentials(program: Program, position: np.ndarray, *versions: ModelArrays) -> list[float]:
    """Potential with several arrays; compiled once for each shape of them."""
    found = []
    for arrays in versions:
        shapes = jax.tree.structure(arrays), arrays.target.shape
        key = (program.structure, program.marginal, *shapes)
        if key not in _evaluate:
            _evaluate[key] = compile_program(jax.jit(program.potential), position, arrays)
        found.append(float(_evaluate[key](position, arrays)))
    return found


def start(program: Program, held: Held) -> np.ndarray:
    return program.layout(held.arrays).start(np.random.default_rng(3), 0.5)


def whole_weights(shape: tuple[int, ...]) -> np.ndarray:
    """Copies beyond the first: 20 in each geo, of weeks drawn with replacement."""
    rng = np.random.default_rng(6)
    counts = [
        np.bincount(rng.integers(0, shape[1], 20), minlength=shape[1]) for _ in range(shape[0])
    ]
    return np.stack(counts)


def copies(held: Held, times: np.ndarray) -> AddedRows:
    """Copies of whole observed rows, each repeated a number of times (geo, time)."""
    geos = np.arange(len(times))[:, None]
    weeks = np.stack([np.repeat(np.arange(times.shape[1]), own) for own in times])
    controls = held.arrays.design[..., -len(held.structure.controls) :]
    return AddedRows(
        media=np.broadcast_to(weeks, (len(held.structure.channels), *weeks.shape)),
        calendar=weeks,
        controls=controls[geos, weeks],
        target=held.arrays.target[geos, weeks],
    )


@pytest.mark.parametrize("name", _cases("rotated", "geo counts", slow=("geo counts",)))
def test_weights_of_one_change_nothing(name: str) -> None:
    held = _held(name)
    ones = held.with_weight(np.ones(held.arrays.target.shape))
    for program in forms(held):
        found, wanted = potentials(program, start(program, held), ones, held.arrays)
        assert found == pytest.approx(wanted, rel=1e-11)


def test_appended_copies_are_whole_weights(held: Held) -> None:
    """The strongest test: rows repeated in full, the same rows with a weight, and neither.

    Effects that follow from a ROAS are those of the observed rows in all.
    """
    times = whole_weights(held.arrays.target.shape)
    ones, added = np.ones(times.shape), np.ones((len(times), 20))
    rows = copies(held, times)
    written, raised, neither = (
        augmented_arrays(held.structure, held.arrays, rows, np.concatenate(weights, 1))
        for weights in ((ones, added), (1.0 + times, 0.0 * added), (ones, 0.0 * added))
    )
    for program in forms(held):
        position = start(program, held)
        energies = potentials(program, position, written, raised, neither, held.arrays)
        assert energies[0] == pytest.approx(energies[1], rel=1e-10)
        assert energies[2] == pytest.approx(energies[3], rel=1e-10)
        assert abs(energies[0] - energies[2]) > 1.0


@pytest.mark.parametrize("name", ["rotated", "student_t", "geo counts"])
def test_the_plain_likelihood_is_the_weighted_sum(name: str) -> None:
    """Weights change the density by ``sum (w - 1) log f``, for every likelihood."""
    held = _held(name)
    weight = np.random.default_rng(7).uniform(0.0, 3.0, held.arrays.target.shape)
    weight[:, 3] = 0.0
    program, structure = held.program(False), held.structure
    position = start(program, held)
    ones = held.with_weight(np.ones(weight.shape))
    weighted, plain = potentials(program, position, held.with_weight(weight), ones)

    def log_densities(position: jax.Array, arrays: ModelArrays) -> jax.Array:
        params = program.resolve(program.layout(arrays).constrain(position), arrays)
        eta = linear_predictor(structure, params, arrays)
        return observation(structure, params, eta, arrays.log_offset).log_prob(arrays.target)

    each = compile_program(jax.jit(log_densities), position, ones)(position, ones)
    assert plain - weighted == pytest.approx(np.sum((weight - 1.0) * np.asarray(each)), rel=1e-10)


@pytest.mark.parametrize("name", _cases("rotated", "geo normal"))
def test_the_weighted_marginal_density_is_the_integral_of_the_plain_one(name: str) -> None:
    """A Gaussian integral over the linear block: exp(-U(mode)) (2 pi)^(k/2) / sqrt(det H)."""
    held = _held(name)
    arrays = held.with_weight(np.random.default_rng(8).uniform(0.0, 2.5, held.arrays.target.shape))
    marginal, plain = held.program(True), held.program(False)
    theta = start(marginal, held)
    inner, outer = marginal.layout(arrays), plain.layout(arrays)
    places = {site.name: np.arange(site.start, site.stop) for site in outer.sites}
    nonlinear = np.concatenate([places[site.name] for site in inner.sites])
    linear = np.setdiff1d(np.arange(outer.dim), nonlinear)

    def energy(block: jax.Array, arrays: ModelArrays) -> jax.Array:
        position = jnp.zeros(outer.dim).at[nonlinear].set(theta).at[linear].set(block)
        return plain.potential(position, arrays)

    zero = jnp.zeros(len(linear))
    # The energy is quadratic in the block: slopes at zero and at the unit vectors determine it.
    gradient = compile_program(jax.jit(jax.value_and_grad(energy)), zero, arrays)
    value, slope = gradient(zero, arrays)
    hessian = np.stack([gradient(unit, arrays)[1] - slope for unit in jnp.eye(len(linear))])
    integral = -float(value) + 0.5 * slope @ np.linalg.solve(hessian, slope)
    integral += 0.5 * len(linear) * np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(hessian)[1]
    assert -potentials(marginal, theta, arrays)[0] == pytest.approx(float(integral), rel=1e-9)


def test_drawn_back_coefficients_are_those_of_the_copies() -> None:
    """Mean and covariance of the linear block, within 4.5 standard errors of two samples."""
    held, draws = _held("geo normal"), 3000
    times = whole_weights(held.arrays.target.shape)
    appended = augmented_arrays(
        held.structure, held.arrays, copies(held, times), np.ones((3, WEEKS + 20))
    )
    program = held.program(True)
    positions = np.tile(start(program, held), (draws, 1))
    one, two = (
        program.parameters(jax.random.key(seed), positions, arrays)
        for seed, arrays in ((1, appended), (2, held.with_weight(1.0 + times)))
    )
    for site in ("intercept", "control_coef", "linear_geo", "coefficient__geo"):
        a, b = (np.reshape(params[site], (draws, -1)) for params in (one, two))
        variance = 0.5 * (a.var(0) + b.var(0))
        assert (np.abs(a.mean(0) - b.mean(0)) < 4.5 * np.sqrt(2 * variance / draws)).all(), site
        # The ratio of two sample variances of normal draws has a log of variance 4 / n.
        assert (np.abs(np.log(a.var(0) / b.var(0))) < 4.5 * np.sqrt(4 / draws)).all(), site


@pytest.mark.parametrize(
    "effect",
    _cases("marginal_roas", "roas", "contribution_share", slow=("roas", "contribution_share")),
)
def test_effect_priors_refer_to_observed_rows(effect: str) -> None:
    """Coefficients from a ROAS or share do not depend on appended rows."""
    data = data_for("national")
    spec = ModelSpec(media={"max_lag": 4, "effect": effect})
    held = Held(MMM(data, spec).structure, Fitted(spec, data, None).arrays)  # type: ignore[arg-type]
    weeks = np.full((1, 50), int(np.argmax(held.arrays.media[0, 0, 0])))
    rows = copies(held, np.bincount(weeks[0], minlength=WEEKS)[None])
    appended = augmented_arrays(held.structure, held.arrays, rows, np.ones((1, WEEKS + 50)))
    program = held.program(True)
    params = program.layout(held.arrays).constrain(jnp.asarray(start(program, held)))
    resolve = jax.jit(program.resolve)
    found, wanted = (
        resolve(params, arrays)["coefficient__geo"] for arrays in (appended, held.arrays)
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_an_appended_row_is_assembled_from_its_parts() -> None:
    held = _held("geo counts")
    structure, arrays, rng = held.structure, held.arrays, np.random.default_rng(9)
    rows = AddedRows(
        media=rng.integers(0, WEEKS, (2, 3, 5)),
        calendar=rng.integers(0, WEEKS, (3, 5)),
        controls=rng.normal(size=(3, 5, 2)),
        target=rng.integers(0, 9, (3, 5)).astype(float),
    )
    weight = rng.uniform(size=(3, WEEKS + 5))
    found = augmented_arrays(structure, arrays, rows, weight)
    np.testing.assert_array_equal(found.likelihood_weight, weight)
    for name in ("design", "target", "log_offset"):
        np.testing.assert_array_equal(getattr(found, name)[:, :WEEKS], getattr(arrays, name))
    for g in range(3):
        for i in range(5):
            season = rows.calendar[g, i]
            for c in range(2):
                window = arrays.media[c, g, :, rows.media[c, g, i]]
                np.testing.assert_array_equal(found.media[c, g, :, WEEKS + i], window)
            column = found.design[g, WEEKS + i]
            np.testing.assert_array_equal(column[:-2], arrays.design[g, season, :-2])
            np.testing.assert_array_equal(column[-2:], rows.controls[g, i])
            assert found.target[g, WEEKS + i] == rows.target[g, i]
            assert found.log_offset[g, WEEKS + i] == arrays.log_offset[g, season]
    for name in ("weight", "target_weight"):
        weight = getattr(found.reference, name)
        np.testing.assert_array_equal(weight[:, :WEEKS], getattr(arrays.reference, name))
        assert not weight[:, WEEKS:].any()


def test_rows_keep_the_precision_of_the_arrays() -> None:
    held = _held("rotated")
    single = jax.tree.map(lambda x: np.asarray(x, np.float32), held.arrays)
    times = whole_weights((1, WEEKS))
    found = augmented_arrays(held.structure, single, copies(held, times), np.ones((1, WEEKS + 20)))
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {np.dtype("float32")}


def test_saturation_first_cannot_take_rows() -> None:
    data = data_for("national")
    spec = ModelSpec(media={"max_lag": 4, "order": "saturation_first"})
    held = Held(MMM(data, spec).structure, Fitted(spec, data, None).arrays)  # type: ignore[arg-type]
    rows = copies(held, whole_weights((1, WEEKS)))
    with pytest.raises(ValueError, match=r'media\.order = "adstock_first"'):
        augmented_arrays(held.structure, held.arrays, rows, np.ones((1, WEEKS + 20)))
