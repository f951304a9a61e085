"""Approximate the posterior by a Gaussian in unconstrained space, quickly, and check it.

The search starts from a mode: quasi-Newton from a few starts, the curvature at each, and the mode
whose Laplace approximation holds the most probability. The curvature gives coordinates in which the
posterior is nearly standard normal, and stochastic steps on the evidence lower bound then only have
to correct the departure from a Gaussian. Twice along the way the coordinates are updated from
draws of the guide and their gradients, as the sampler does in its warm-up: the curvature at the
mode alone is not enough where the mode is far from the mass. Guides differ in their parameters:

* ``full_rank``: mean and a triangular factor of the covariance;
* ``low_rank``: mean and scales, in coordinates with the 48 directions that depart most from a
  diagonal;
* ``mean_field``: mean and the scale of each parameter, in diagonal coordinates;
* ``laplace``: nothing. The result is the Gaussian at the mode with the inverse Hessian there.

Pareto k-hat measures how far the result can be trusted. ``docs/results/svi.md`` compares
with NumPyro's guides.

References
----------
Zhang, Carpenter, Gelman and Vehtari (2022), Pathfinder, JMLR 23 (starts); Yao, Vehtari, Simpson and
Gelman (2018), Yes, but Did It Work?: Evaluating Variational Inference, ICML (k-hat).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from pydantic import Field

from mmm_bayes.inference import mode, nuts
from mmm_bayes.inference.adaptation import fisher_metric
from mmm_bayes.inference.elbo import (
    Gaussian,
    GuideDraws,
    GuideState,
    StepShape,
    SVIProgram,
    first_state,
)
from mmm_bayes.inference.mode import Potential, ProposeStart
from mmm_bayes.inference.psis import smooth_weights
from mmm_bayes.runtime.progress import Progress, Silent
from mmm_bayes.runtime.settings import Frozen

NDArray = np.ndarray[Any, Any]

UNTRUSTED_K = 0.7
"""k-hat above which the error of importance sampling is out of control (Vehtari et al. 2024)."""

_FULL_RANK_UP_TO = 100  # parameters: above it the dim^2 entries of the factor need too many steps
_LOW_RANK = 48
_LEGS = (0.2, 0.3, 0.5)  # shares of the steps between updates of the map
_BLOCK_NUMBERS = 2_000_000  # numbers in the largest buffer of a block of steps


class SVISpec(Frozen):
    """Settings of the Gaussian approximation.

    Parameters
    ----------
    num_steps
        Stochastic gradient steps after the mode is found.
    learning_rate
        Initial step of Adam, in posterior standard deviations; it falls to 1% along a cosine.
    num_particles
        Draws per gradient.
    guide
        ``"full_rank"``, ``"low_rank"``, ``"mean_field"``, ``"laplace"`` (no stochastic steps) or
        ``"auto"``: full rank up to 100 parameters, low rank above.
    num_draws
        Draws of the approximation that are returned.
    num_starts
        Maximum number of searches for a mode; two that agree are enough.
    precision
        ``"float64"`` or ``"float32"``, within the fit only; JAX's own setting does not change.
    """

    num_steps: int = Field(2000, ge=20)
    learning_rate: float = Field(0.02, gt=0.0, le=1.0)
    num_particles: int = Field(8, ge=1)
    guide: Literal["auto", "full_rank", "low_rank", "mean_field", "laplace"] = "auto"
    num_draws: int = Field(4000, ge=100)
    num_starts: int = Field(4, ge=1)
    precision: Literal["float64", "float32"] = "float64"


class SVIResult(NamedTuple):
    """Draws of a Gaussian approximation, with measures of its quality.

    ``positions`` (draw, dim) are unconstrained; ``elbo`` is the estimate of each step (for a
    Laplace approximation one value, over all draws); ``log_p`` and ``log_q`` (draw,) are the
    log densities of target (not normalised) and approximation, ``log_weights`` (draw,) the smoothed
    importance weights and ``pareto_k`` their tail index; ``mean`` (dim,) and ``covariance``
    (dim, dim) belong to the approximation; ``message`` is empty unless there is something to act
    on; ``seconds`` holds wall seconds by phase.
    """

    positions: NDArray
    elbo: NDArray
    log_p: NDArray
    log_q: NDArray
    log_weights: NDArray
    pareto_k: float
    mean: NDArray
    covariance: NDArray
    message: str
    seconds: dict[str, float]


def fit(
    rng_key: jax.Array,
    potential: Potential,
    dim: int,
    data: Any,
    propose_start: ProposeStart,
    spec: SVISpec,
    progress: Progress | None = None,
) -> SVIResult:
    """Fit a Gaussian by stochastic variational inference.

    Parameters
    ----------
    rng_key
        Seeds starts, gradients and draws; the same key gives the same result.
    potential
        Maps (position (dim,), data pytree) to the negative log density. Compiled programs are kept
        with it: another fit of the same function to data of the same shape does not compile.
    dim
        Number of unconstrained parameters.
    data
        Arrays the potential is evaluated on, of the precision of ``spec``.
    propose_start
        Maps a generator and a spread in (0, 1] to a starting position (dim,); called again with
        a smaller spread where the density is not finite.
    spec, progress
        Settings, and where to report.

    Returns
    -------
    SVIResult

    Raises
    ------
    FloatingPointError
        If no start with a finite density is found, or no draw of the result has one.
    """
    guide = spec.guide
    if guide == "auto":
        guide = "full_rank" if dim <= _FULL_RANK_UP_TO else "low_rank"
    ranks = {"full_rank": dim, "laplace": dim, "low_rank": min(dim, _LOW_RANK), "mean_field": 0}
    rank = ranks[guide]
    run = _Run(potential, dim, data, spec, progress, guide == "full_rank", rank)
    legs: dict[str, tuple[float, ...]] = {"laplace": (), "mean_field": (1.0,)}
    ends = np.rint(np.cumsum([0, *legs.get(guide, _LEGS)]) * spec.num_steps)
    return run(rng_key, propose_start, np.diff(ends))


@functools.lru_cache(maxsize=32)
def _program_for(potential: Potential, dim: int) -> SVIProgram:
    return SVIProgram(potential, dim)


class _Run:
    """One fit, from mode to draws."""

    def __init__(
        self,
        potential: Potential,
        dim: int,
        data: Any,
        spec: SVISpec,
        progress: Progress | None,
        triangular: bool,
        rank: int,
    ) -> None:
        self.program, self.dim, self.data, self.spec = _program_for(potential, dim), dim, data, spec
        self.progress = progress or Silent()
        self.dtype = np.dtype(spec.precision)
        block = max(1, min(100, _BLOCK_NUMBERS // (spec.num_particles * dim)))
        self.shape = StepShape(triangular, rank, spec.num_particles, block)
        self._last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def _lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = now - self._last
        self._last = now

    def __call__(self, rng_key: jax.Array, propose_start: ProposeStart, legs: NDArray) -> SVIResult:
        key_start, key_steps, key_renew, key_draws = jax.random.split(rng_key, 4)
        spec, dtype = self.spec, self.dtype
        with jax.enable_x64(dtype == np.float64):
            self.progress.message("compiling the approximation")
            evaluate, wait = self.program.compile(self.data, dtype, self.shape)
            self._lap("compile")
            self.progress.message("looking for a mode")
            data = jax.device_put(self.data)  # once, not with every evaluation
            best = mode.find_mode(
                key_start, lambda x: evaluate(x, data), propose_start, spec.num_starts, dtype
            )
            self._lap("mode")
            self._compiled_steps, self.data = wait(), data
            self._lap("wait")
            metric = mode.curvature_metric(best, self.shape.rank, dtype)
            centre = best.position.astype(dtype)
            state = first_state(self.dim, self.shape, dtype)
            self.progress.start(["approximation"], int(legs.sum()) or 1, "steps")
            self.progress.message("fitting the approximation")
            elbo: list[NDArray] = []
            for number, steps in enumerate(legs.astype(int)):
                if number:
                    key = jax.random.fold_in(key_renew, number)
                    metric, centre = self._renew(key, state.average, metric, centre)
                key = jax.random.fold_in(key_steps, number)
                begin = first_state(self.dim, self.shape, dtype)
                state, draws = self._call(
                    key, begin, metric, centre, steps, spec.learning_rate, sum(map(len, elbo))
                )
                elbo.append((draws.log_p - draws.log_q).mean(1))
            self._lap("steps")
            self.progress.message("drawing from the approximation")
            draws = self._draw(key_draws, state.average, metric, centre, spec.num_draws)
            self._lap("draws")
        ratios = draws.log_p.astype(np.float64) - draws.log_q
        log_weights, k = smooth_weights(ratios)
        message = _message(k, best.is_minimum or bool(elbo))
        if message:
            self.progress.message(message)
        return SVIResult(
            draws.positions, np.concatenate(elbo) if elbo else ratios.mean(keepdims=True),
            draws.log_p, draws.log_q, log_weights, k,
            *_moments(state.average, metric, centre), message, self.seconds,
        )  # fmt: skip

    def _draw(
        self, key: jax.Array, guide: Gaussian, metric: nuts.Metric, centre: NDArray, count: int
    ) -> GuideDraws:
        """Draw from a guide, (draw, ...)."""
        start = first_state(self.dim, self.shape, self.dtype)._replace(guide=guide)
        calls = -(-count // self.shape.particles)
        _, draws = self._call(key, start, metric, centre, calls, 0.0, None)
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:count], draws)

    def _renew(
        self, key: jax.Array, guide: Gaussian, metric: nuts.Metric, centre: NDArray
    ) -> tuple[nuts.Metric, NDArray]:
        """Update map and centre from draws of the guide and gradients of the potential."""
        draws = self._draw(key, guide, metric, centre, max(20 * self.shape.rank, 1000))
        finite = np.isfinite(draws.gradients).all(1)
        if finite.mean() < 0.9:  # the guide is still off: directions from it would be too
            return metric, centre
        renewed = fisher_metric(draws.positions[finite], draws.gradients[finite], self.shape.rank)
        mean, _ = _moments(guide, metric, centre)
        return renewed, mean.astype(self.dtype)

    def _call(
        self,
        rng_key: jax.Array,
        state: GuideState,
        metric: nuts.Metric,
        centre: NDArray,
        total: int,
        learning_rate: float,
        reported: int | None,
    ) -> tuple[GuideState, GuideDraws]:
        """Make all steps of a leg, block by block; positions are kept without learning only."""
        block, parts = self.shape.block, []
        for number, done in enumerate(range(0, total, block)):
            count = min(block, total - done)
            state, draws = self._compiled_steps(
                jax.random.fold_in(rng_key, number), state, metric, centre, np.int32(count),
                np.int32(total), self.dtype.type(learning_rate), self.data,
            )  # fmt: skip
            draws = jax.tree.map(lambda x, count=count: np.asarray(x)[:count], draws)
            if learning_rate:
                nothing = np.zeros((count, 0))
                draws = draws._replace(positions=nothing, gradients=nothing)
            parts.append(draws)
            if reported is not None:
                self.progress.update(0, reported + done + count)
        joined: Callable[..., NDArray] = lambda *x: np.concatenate(x)  # noqa: E731
        return jax.tree.map(np.asarray, state), jax.tree.map(joined, *parts)


def _moments(guide: Gaussian, metric: nuts.Metric, centre: NDArray) -> tuple[NDArray, NDArray]:
    """Return mean and covariance of the approximation, in positions and float64."""
    factor = np.diag(np.exp(np.asarray(guide.log_scale, np.float64)))
    if guide.lower.size:
        factor = factor + np.tril(guide.lower, -1)
    linear = mode.dense(metric)
    root = linear @ factor
    return centre + linear @ np.asarray(guide.location, np.float64), root @ root.T


def _message(k: float, has_curvature: bool) -> str:
    parts = []
    if k > UNTRUSTED_K:
        parts.append(
            f"k-hat is {k:.2f} (above {UNTRUSTED_K}): the approximation is not trustworthy; "
            "use NUTS."
        )
    if not has_curvature:
        parts.append(
            "The density is flat or curves upwards at the mode, so that its curvature does not "
            "determine a variance; use NUTS, or tighter priors."
        )
    return " ".join(parts)
