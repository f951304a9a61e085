"""The marginal and the plain form are the same model."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmm_bayes import MMM, FitResult, MMMData, ModelSpec, simulate
from mmm_bayes.inference.convergence import ess_bulk
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.generative import generative
from mmm_bayes.model.program import Program, program_for
from mmm_bayes.model.structure import Structure

SMALL: dict[str, Any] = {"media": {"max_lag": 4}, "seasonality": [{"period": "year", "order": 1}]}
CASES: dict[str, dict[str, Any]] = {
    "rotated": SMALL,
    "locations": SMALL
    | {
        "intercept": {"dist": "normal", "loc": 1.5, "scale": 2.0},
        "controls": {"prior": {"dist": "laplace", "scale": 0.5}},
        "likelihood": {"family": "log_normal"},
    },
    "process": SMALL | {"trend": {"kind": "hsgp", "n_basis": 4}},
    "geo log-normal": SMALL | {"geo": {"media": "log_normal"}},
    "geo normal": SMALL | {"geo": {"media": "normal"}},
    "geo pooled": SMALL | {"geo": {"media": "pooled", "controls": "pooled"}},
}
INTEGRATED = ("intercept", "trend_coef", "seasonality_coef", "control_coef", "linear_geo")


def _data(name: str) -> MMMData:
    return simulate.mmm(
        jax.random.key(21),
        num_dates=40,
        num_channels=2,
        num_controls=2,
        num_geos=3 if name.startswith("geo") else 1,
        likelihood="lognormal" if name == "locations" else "normal",
    ).data


class Block(NamedTuple):
    """A model at fixed nonlinear parameters: the linear block is Gaussian.

    ``theta`` are those parameters in the marginal form, ``same`` in the plain one, ``nonlinear``
    and ``linear`` the places of both parts in the plain form's vector.
    """

    marginal: Program
    plain: Program
    fitted: Fitted
    theta: np.ndarray
    same: np.ndarray
    linear: np.ndarray
    nonlinear: np.ndarray
    mode: np.ndarray
    hessian: np.ndarray
    log_integral: float

    def position(self, block: np.ndarray) -> np.ndarray:
        """The plain model's vector with this linear block."""
        result = np.zeros(len(self.linear) + len(self.nonlinear))
        result[self.nonlinear], result[self.linear] = self.same, block
        return result


def _transported(program: Program, theta: np.ndarray, arrays: Any) -> tuple[np.ndarray, float]:
    """Geo differences sampled on a transformed scale, and the log volume of the map."""
    site = next(site for site in program.layout(arrays).sites if site.name == "media_geo__unit")

    def differences(unit: jax.Array) -> jax.Array:
        position = jnp.asarray(theta).at[site.start : site.stop].set(unit)
        params = program.resolve(program.layout(arrays).constrain(position), arrays)
        ratio = params["coefficient__geo"] / params["beta"][:, None]
        return (jnp.log(ratio) / params["media_geo_scale"][:, None]).ravel()

    unit = jnp.asarray(theta[site.start : site.stop])
    result = theta.copy()
    result[site.start : site.stop] = jax.jit(differences)(unit)
    jacobian = np.asarray(jax.jit(jax.jacfwd(differences))(unit))
    return result, float(np.linalg.slogdet(jacobian)[1])


@pytest.fixture(scope="module", params=CASES)
def block(request: pytest.FixtureRequest) -> Block:
    data = _data(request.param)
    spec = ModelSpec(**CASES[request.param])
    fitted = MMM(data, spec)
    structure = fitted.structure
    held = Fitted(spec, data, None)  # type: ignore[arg-type]
    marginal, plain = (program_for(structure, m, "float64") for m in (True, False))
    with jax.enable_x64(True):
        arrays = held.arrays
        inner, outer = marginal.layout(arrays), plain.layout(arrays)
        theta = inner.start(np.random.default_rng(3), 0.5)
        same, volume = theta.copy(), 0.0
        slots = {site.name: np.arange(site.start, site.stop) for site in outer.sites}
        if structure.transports_media(True):
            same, volume = _transported(marginal, theta, arrays)
            slots["media_geo__unit"] = slots["media_geo__z"]
        nonlinear = np.concatenate([slots[site.name] for site in inner.sites])
        linear = np.setdiff1d(np.arange(outer.dim), nonlinear)
        gradient = jax.jit(jax.value_and_grad(plain.potential))

        def at(v: np.ndarray) -> tuple[float, np.ndarray]:
            x = np.zeros(outer.dim)
            x[nonlinear], x[linear] = same, v
            value, slope = gradient(jnp.asarray(x), arrays)
            return float(value), np.asarray(slope)[linear]

        # The potential is quadratic in the linear block: gradients at zero and at the unit
        # vectors determine it.
        size = len(linear)
        start, slope = at(np.zeros(size))
        hessian = np.stack([at(unit)[1] - slope for unit in np.eye(size)])
        np.testing.assert_allclose(hessian, hessian.T, atol=1e-8 * np.abs(hessian).max())
        mode = -np.linalg.solve(hessian, slope)
        probe = np.random.default_rng(4).normal(size=size)
        np.testing.assert_allclose(
            at(probe)[0], start + slope @ probe + 0.5 * probe @ hessian @ probe, rtol=1e-9
        )
    log_integral = (
        volume
        - start
        - 0.5 * slope @ mode
        + 0.5 * size * np.log(2 * np.pi)
        - 0.5 * np.linalg.slogdet(hessian)[1]
    )
    return Block(
        marginal, plain, held, theta, same, linear, nonlinear, mode, hessian, float(log_integral)
    )


def test_the_marginal_density_is_the_integral_of_the_plain_one(block: Block) -> None:
    """A Gaussian integral, exactly: exp(-U(mode)) (2 pi)^(k/2) / sqrt(det H)."""
    with jax.enable_x64(True):
        found = jax.jit(block.marginal.potential)(jnp.asarray(block.theta), block.fitted.arrays)
    assert -float(found) == pytest.approx(block.log_integral, rel=1e-9)


def test_the_block_is_drawn_back_from_its_conditional(block: Block) -> None:
    """Mean and covariance of the draws are those of the Gaussian, within Monte Carlo error."""
    draws, size = 3000, len(block.linear)
    with jax.enable_x64(True):
        arrays = block.fitted.arrays
        found = block.marginal.parameters(
            jax.random.key(9), np.broadcast_to(block.theta, (draws, len(block.theta))), arrays
        )
        # Parameters are affine in the block: their map, column by column.
        blocks = np.concatenate([np.zeros((1, size)), np.eye(size)])
        positions = np.stack([block.position(v) for v in blocks])
        images = block.plain.parameters(jax.random.key(0), positions, arrays)
    names = [n for n in (*INTEGRATED, "coefficient__geo") if n in found and n in images]
    flat = np.concatenate([found[name].reshape(draws, -1) for name in names], 1)
    image = np.concatenate([images[name].reshape(size + 1, -1) for name in names], 1)
    jacobian = (image[1:] - image[0]).T
    mean = image[0] + jacobian @ block.mode
    covariance = jacobian @ np.linalg.solve(block.hessian, jacobian.T)
    spread = np.sqrt(np.diag(covariance))
    free = spread > 1e-8 * spread.max()
    np.testing.assert_allclose(flat[:, ~free], mean[~free][None].repeat(draws, 0), rtol=1e-6)
    z = (flat.mean(0) - mean)[free] / (spread[free] / np.sqrt(draws))
    assert np.abs(z).max() < 4.5
    # A correlation r of a Gaussian sample has a standard error of (1 - r^2) / sqrt(n) at most.
    scale = spread[free]
    empirical = np.cov(flat[:, free].T) / np.outer(scale, scale)
    wanted = covariance[np.ix_(free, free)] / np.outer(scale, scale)
    assert np.abs(empirical - wanted).max() < 5.5 / np.sqrt(draws) * np.sqrt(2)


def _scalars(fit: FitResult) -> dict[str, np.ndarray]:
    """Draws (chain, draw) of every scalar parameter."""
    found = {}
    for name, values in fit.tree["posterior"].to_dataset().data_vars.items():
        flat = values.values.reshape(*values.shape[:2], -1)
        found |= {f"{name}[{i}]": flat[..., i] for i in range(flat.shape[-1])}
    return found


def _agree(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    """Means and standard deviations agree within Monte Carlo error, for every parameter."""
    assert set(first) == set(second)
    worst = {}
    for name, one in first.items():
        two = second[name]
        for what, powers in (("mean", (one, two)), ("sd", ((one - one.mean()) ** 2,
                                                          (two - two.mean()) ** 2))):  # fmt: skip
            a, b = powers
            error = np.hypot(*(x.std() / np.sqrt(ess_bulk(x)) for x in (a, b)))
            worst[f"{what} of {name}"] = float(abs(a.mean() - b.mean()) / error)
    beyond = {name: z for name, z in worst.items() if z > 4.0}
    assert not beyond, beyond


def _small_national() -> tuple[MMMData, ModelSpec]:
    # Shapes are fixed: the samplers are compared, not a hard geometry.
    spec = ModelSpec(
        media={"max_lag": 4, "saturation": "michaelis_menten"},
        trend={"kind": "none"},
        sampler={"num_warmup": 400, "num_samples": 1000, "num_chains": 2},
    )
    return _data("rotated"), spec


@pytest.fixture(scope="module")
def marginal_fit() -> FitResult:
    return MMM(*_small_national()).fit(jax.random.key(1), progress=False, num_prior_draws=0)


def test_both_forms_have_one_posterior(marginal_fit: FitResult) -> None:
    mmm = MMM(*_small_national())
    plain = mmm.fit(jax.random.key(2), progress=False, num_prior_draws=0, marginal=False)
    assert "integrated out" in marginal_fit.tree["posterior"].attrs["inference"]
    assert "integrated out" not in plain.tree["posterior"].attrs["inference"]
    _agree(_scalars(marginal_fit), _scalars(plain))


@pytest.mark.slow
def test_both_forms_have_one_posterior_for_geos() -> None:
    spec = ModelSpec(
        **CASES["geo normal"], sampler={"num_warmup": 600, "num_samples": 1500, "num_chains": 2}
    )
    mmm = MMM(_data("geo"), spec)
    both = [
        mmm.fit(jax.random.key(3), progress=False, num_prior_draws=0, marginal=form)
        for form in (True, False)
    ]
    _agree(*(_scalars(fit) for fit in both))


@pytest.mark.slow
def test_numpyro_finds_the_same_posterior(marginal_fit: FitResult) -> None:
    """NumPyro's own sampler on the plain program: our sampler, maps and blocks end to end."""
    from numpyro.infer import MCMC, NUTS

    data, spec = _small_national()
    held = Fitted(spec, data, None)  # type: ignore[arg-type]
    structure: Structure = held.structure
    with jax.enable_x64(True):
        arrays = jax.tree.map(jnp.asarray, held.arrays._replace(block=None))
        sampler = MCMC(
            NUTS(lambda: generative(structure, arrays)),
            num_warmup=500,
            num_samples=1500,
            num_chains=2,
            chain_method="sequential",
            progress_bar=False,
        )
        sampler.run(jax.random.key(8))
        found = {k: np.asarray(v) for k, v in sampler.get_samples(group_by_chain=True).items()}
    from mmm_bayes.model import units

    table = units.to_table_units(structure, held.scaling, held.log_rate, found)
    flat = {}
    for name, values in table.items():
        columns = values.reshape(*values.shape[:2], -1)
        flat |= {f"{name}[{i}]": columns[..., i] for i in range(columns.shape[-1])}
    _agree(_scalars(marginal_fit), flat)
