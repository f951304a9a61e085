r"""A Gaussian approximation of the posterior in unconstrained space: quick, and checked.

The search starts from a mode: quasi-Newton from a few starts, the curvature at each, and the mode
whose Laplace approximation holds the most probability. The curvature gives a linear map ``A``, so
that ``x = c + A z`` has nearly a standard normal posterior in ``z``; the guide

.. math:: z = m + T \varepsilon, \quad \varepsilon \sim N(0, I)

starts at ``m = 0, T = I``, and stochastic steps on the evidence lower bound only have to correct
for what is not Gaussian. ``T`` is lower triangular ("full_rank") or diagonal ("low_rank", with
``A`` a diagonal and the directions that depart most from it; "mean_field", with ``A`` diagonal).

Gradients follow the path of the draw alone ("sticking the landing"), which here has a closed form:
with ``r = A' \nabla \log p(x) + T^{-T} \varepsilon`` they are ``r`` for ``m`` and ``r \varepsilon'``
for ``T``, and vanish for every single draw where guide and posterior agree.

References
----------
Kucukelbir, Tran, Ranganath, Gelman and Blei (2017), Automatic Differentiation Variational
Inference, JMLR 18; Roeder, Wu and Duvenaud (2017), Sticking the Landing, NeurIPS; Zhang, Carpenter,
Gelman and Vehtari (2022), Pathfinder, JMLR 23; Yao, Vehtari, Simpson and Gelman (2018), Yes, but
Did It Work?, ICML; Dhaka et al. (2020), Robust, Accurate Stochastic Optimization for Variational
Inference, NeurIPS (iterate averaging).
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from pydantic import BaseModel, ConfigDict, Field

from mmm_bayes.inference import mode, nuts
from mmm_bayes.inference.mode import Potential, ProposeStart
from mmm_bayes.inference.progress import Progress, Silent
from mmm_bayes.inference.psis import smooth_weights
from mmm_bayes.inference.tracing import tracing

Array = jax.Array
NDArray = np.ndarray[Any, Any]

UNTRUSTED_K = 0.7
"""k-hat past which the error of importance sampling is out of hand (Vehtari et al. 2024)."""

_FULL_RANK_UP_TO = 100  # dimensions: past it the dim^2 entries of T cost more than they bring
_LOW_RANK = 48
_AVERAGED = 0.3  # last share of the steps whose iterates are averaged
_LAST_RATE = 0.01  # of the learning rate, at the end of the cosine
_BLOCK_NUMBERS = 2_000_000  # numbers a block of steps may hold in each of its buffers


class SVISpec(BaseModel):
    """Settings of the Gaussian approximation.

    Parameters
    ----------
    num_steps
        Stochastic gradient steps after the mode is found.
    learning_rate
        First step of Adam, in posterior standard deviations; falls to 1% along a cosine.
    num_particles
        Draws per gradient.
    guide
        ``"full_rank"``, ``"low_rank"``, ``"mean_field"`` or ``"auto"``: full rank up to 100
        parameters, low rank above.
    num_draws
        Draws of the approximation that are returned.
    num_starts
        Searches for a mode; the best one is kept.
    precision
        ``"float64"`` or ``"float32"``; holds within the fit only, JAX's own setting stays as it is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_steps: int = Field(2000, ge=1)
    learning_rate: float = Field(0.02, gt=0.0, le=1.0)
    num_particles: int = Field(8, ge=1)
    guide: Literal["auto", "full_rank", "low_rank", "mean_field"] = "auto"
    num_draws: int = Field(4000, ge=100)
    num_starts: int = Field(4, ge=1)
    precision: Literal["float64", "float32"] = "float64"


class SVIResult(NamedTuple):
    """Draws of a Gaussian approximation, and how far to trust them.

    ``positions`` (draw, dim) are unconstrained; ``elbo`` is the estimate of each step (for a
    Laplace approximation one value, over all draws); ``log_p`` and ``log_q`` (draw,) are the
    log densities of target (not normalised) and approximation, ``log_weights`` (draw,) the smoothed
    importance weights and ``pareto_k`` their tail index; ``mean`` (dim,) and ``covariance``
    (dim, dim) belong to the approximation; ``message`` is empty unless there is something to act
    on; ``seconds`` are wall seconds by phase.
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


class Gaussian(NamedTuple):
    """``z = location + T eps``: ``T`` has diagonal ``exp(log_scale)`` and ``lower`` below it.

    ``lower`` is (dim, dim), or (0, 0) for a diagonal ``T``.
    """

    location: Array
    log_scale: Array
    lower: Array


class _State(NamedTuple):
    """What the next step needs."""

    guide: Gaussian
    average: Gaussian
    optimiser: Any
    step: Array


class _Shape(NamedTuple):
    """What is static in a program of steps."""

    triangular: bool
    rank: int
    particles: int
    block: int


def fit(
    rng_key: Array,
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
        Maps (position (dim,), data pytree) to the negative log density.
    dim
        Number of unconstrained parameters.
    data
        Arrays the potential is evaluated on, of the precision of ``spec``.
    propose_start
        Maps a generator and a spread in (0, 1] to a starting position (dim,).
    spec, progress
        Settings, and where to report.

    Returns
    -------
    SVIResult

    Raises
    ------
    FloatingPointError
        If no start with a finite density is found, or no draw has one.
    """
    guide = spec.guide
    if guide == "auto":
        guide = "full_rank" if dim <= _FULL_RANK_UP_TO else "low_rank"
    rank = {"full_rank": dim, "low_rank": min(dim, _LOW_RANK), "mean_field": 0}[guide]
    return _run(
        rng_key, potential, dim, data, propose_start, spec, progress,
        triangular=guide == "full_rank", rank=rank, num_steps=spec.num_steps,
    )  # fmt: skip


def laplace(
    rng_key: Array,
    potential: Potential,
    dim: int,
    data: Any,
    propose_start: ProposeStart,
    spec: SVISpec,
    progress: Progress | None = None,
) -> SVIResult:
    """Fit a Gaussian to the mode and the curvature there: the start of :func:`fit` by itself.

    Takes the same arguments; ``num_steps``, ``learning_rate`` and ``guide`` of ``spec`` do not
    matter, as the covariance is the full inverse Hessian.
    """
    return _run(
        rng_key, potential, dim, data, propose_start, spec, progress,
        triangular=False, rank=dim, num_steps=0,
    )  # fmt: skip


def resample(rng_key: Array, result: SVIResult, num_draws: int) -> NDArray:
    """Draw positions (num_draws, dim) anew with the importance weights, by systematic resampling.

    Corrects the approximation where ``pareto_k`` is below 0.7; past it the weights rest on a few
    draws.
    """
    u = (np.arange(num_draws) + float(jax.random.uniform(rng_key))) / num_draws
    index = np.searchsorted(np.cumsum(np.exp(result.log_weights)), u)
    return result.positions[np.minimum(index, len(result.positions) - 1)]


def elbo_step(
    value_and_grad: Callable[[Array], tuple[Array, Array]],
    guide: Gaussian,
    metric: nuts.Metric,
    centre: Array,
    noise: Array,
) -> tuple[Array, Array, Array, Gaussian]:
    """Draw from the guide and follow the gradient of the evidence lower bound along the path.

    Parameters
    ----------
    value_and_grad
        Maps a position (dim,) to the potential and its gradient.
    guide, metric, centre
        The guide in whitened coordinates, and the map ``x = centre + metric(z)``.
    noise
        Standard normal, (particle, dim).

    Returns
    -------
    tuple
        Positions (particle, dim), ``log_p`` and ``log_q`` (particle,), and the gradient of the
        bound with respect to the guide.
    """
    dim, triangular = noise.shape[1], guide.lower.size > 0
    scale = jnp.exp(guide.log_scale)
    z = guide.location + scale * noise
    score = noise / scale
    if triangular:
        factor = jnp.tril(guide.lower, -1)
        z = z + noise @ factor.T
        score = solve_triangular(factor + jnp.diag(scale), noise.T, lower=True, trans=1).T
    positions = centre + jax.vmap(lambda z: nuts.to_position(metric, z))(z)
    values, gradients = jax.vmap(value_and_grad)(positions)
    log_q = (
        -0.5 * jnp.sum(noise * noise, 1)
        - jnp.sum(guide.log_scale)
        - jnp.sum(jnp.log(metric.scale))
        - jnp.sum(jnp.log1p(metric.stretch))
        - 0.5 * dim * np.log(2.0 * np.pi)
    )
    path = score - jax.vmap(lambda g: nuts.pull_back(metric, g))(gradients)
    # One draw in a far tail must not undo what the others taught: near the optimum a path gradient
    # is well below sqrt(dim), the norm of the noise itself.
    norm = jnp.linalg.norm(path, axis=1, keepdims=True)
    finite = jnp.isfinite(values)[:, None] & jnp.isfinite(norm)
    path = jnp.where(finite, path * jnp.minimum(1.0, 10.0 * dim**0.5 / norm), 0.0)
    count = noise.shape[0]
    gradient = Gaussian(
        jnp.mean(path, 0),
        scale * jnp.mean(path * noise, 0),
        jnp.tril(path.T @ noise / count, -1) if triangular else guide.lower,
    )
    log_p = jnp.where(jnp.isnan(values), -jnp.inf, -values)
    return positions, log_p, log_q, gradient


class _SVIProgram:
    """The compiled steps of one potential; compiled once per shape of data and guide."""

    def __init__(self, potential: Potential, dim: int) -> None:
        self.potential, self.dim = potential, dim
        self._compiled: dict[Any, Any] = {}
        self._lock = threading.Lock()

    def compile(self, data: Any, dtype: Any, shape: _Shape) -> tuple[Any, Callable[[], Any]]:
        """The potential with its gradient, and a function that waits for the compiled steps.

        Both are lowered here; the steps compile in a thread of their own, so that the search for
        a mode does not wait for them.
        """
        leaves, structure = jax.tree.flatten(data)
        key = (structure, tuple((x.shape, str(x.dtype)) for x in leaves), str(dtype))
        with self._lock:
            if (key, shape) not in self._compiled:
                if key not in self._compiled:
                    position = jax.ShapeDtypeStruct((self.dim,), dtype)
                    with tracing():
                        lowered = jax.jit(jax.value_and_grad(self.potential)).lower(position, data)
                    self._compiled[key] = _InThread(lowered.compile)
                steps = self._lower_steps(data, dtype, shape)
                self._compiled[key, shape] = _InThread(steps.compile)
            return self._compiled[key].result(), self._compiled[key, shape].result

    def _lower_steps(self, data: Any, dtype: Any, shape: _Shape) -> Any:
        real = lambda *shape: jax.ShapeDtypeStruct(shape, dtype)  # noqa: E731
        dim, rank = self.dim, shape.rank
        key = jax.eval_shape(lambda: jax.random.key(0))
        metric = nuts.Metric(real(dim), real(dim, rank), real(rank))
        state = jax.eval_shape(lambda: _first_state(dim, shape, dtype))
        integer = jax.ShapeDtypeStruct((), np.int32)
        with tracing():
            return jax.jit(functools.partial(self._steps, shape)).lower(
                key, state, metric, real(dim), integer, integer, real(), data
            )

    def _steps(
        self,
        shape: _Shape,
        rng_key: Array,
        state: _State,
        metric: nuts.Metric,
        centre: Array,
        count: Array,
        total: Array,
        learning_rate: Array,
        data: Any,
    ) -> tuple[_State, Array, Array, Array]:
        """Make ``count <= block`` of ``total`` steps; also gives all draws with their densities.

        A learning rate of 0 makes it a sampler of the guide: no second copy of the potential.
        """
        particles, block, dtype = shape.particles, shape.block, centre.dtype
        noise = jax.random.normal(rng_key, (block, particles, self.dim), dtype)
        adam = _adam()

        def body(i: Array, carry: tuple[Any, ...]) -> tuple[Any, ...]:
            state, positions, log_p, log_q = carry
            at, p, q, gradient = elbo_step(
                lambda x: jax.value_and_grad(self.potential)(x, data),
                state.guide, metric, centre, noise[i],
            )  # fmt: skip
            share = state.step.astype(dtype) / total.astype(dtype)
            cosine = 0.5 * (1.0 + jnp.cos(jnp.pi * share))
            rate = learning_rate * (_LAST_RATE + (1.0 - _LAST_RATE) * cosine)
            update, optimiser = adam.update(gradient, state.optimiser)
            guide = jax.tree.map(lambda x, u: x + rate * u, state.guide, update)
            averaged = jnp.maximum(share - (1.0 - _AVERAGED), 0.0) * total.astype(dtype) + 1.0
            average = jax.tree.map(
                lambda mean, x: mean + (x - mean) / averaged, state.average, guide
            )
            state = _State(guide, average, optimiser, state.step + 1)
            return state, positions.at[i].set(at), log_p.at[i].set(p), log_q.at[i].set(q)

        scalars = jnp.zeros((block, particles), dtype)
        carry = (state, jnp.zeros_like(noise), scalars, scalars)
        return jax.lax.fori_loop(0, count, body, carry)


class _InThread:
    """A computation begun in a thread of its own."""

    def __init__(self, work: Callable[[], Any]) -> None:
        pool = ThreadPoolExecutor(1)
        self._future = pool.submit(work)
        pool.shutdown(wait=False)

    def result(self) -> Any:
        return self._future.result()


@functools.lru_cache(maxsize=32)
def _program_for(potential: Potential, dim: int) -> _SVIProgram:
    return _SVIProgram(potential, dim)


def _adam() -> Any:
    # Loaded here: the sampler has no need of it.
    import optax

    # A memory of 100 steps for the squares: the start is good, so scales settle early.
    return optax.scale_by_adam(b1=0.9, b2=0.99)


def _first_state(dim: int, shape: _Shape, dtype: Any) -> _State:
    zeros = jnp.zeros(dim, dtype)
    side = dim if shape.triangular else 0
    guide = Gaussian(zeros, zeros, jnp.zeros((side, side), dtype))
    return _State(guide, guide, _adam().init(guide), jnp.zeros((), jnp.int32))


def _run(
    rng_key: Array,
    potential: Potential,
    dim: int,
    data: Any,
    propose_start: ProposeStart,
    spec: SVISpec,
    progress: Progress | None,
    *,
    triangular: bool,
    rank: int,
    num_steps: int,
) -> SVIResult:
    progress = progress or Silent()
    dtype = np.dtype(spec.precision)
    key_start, key_steps, key_draws = jax.random.split(rng_key, 3)
    block = max(1, min(100, _BLOCK_NUMBERS // (spec.num_particles * dim)))
    shape = _Shape(triangular, rank, spec.num_particles, block)
    laps = [time.perf_counter()]
    with jax.enable_x64(dtype == np.float64):
        progress.message("compiling the approximation")
        program = _program_for(potential, dim)
        evaluate, compiled_steps = program.compile(data, dtype, shape)
        data = jax.device_put(data)  # once, not with every evaluation
        laps.append(time.perf_counter())
        progress.message("looking for a mode")
        best = mode.find_mode(
            key_start, lambda x: evaluate(x, data), propose_start, spec.num_starts, dtype
        )
        laps.append(time.perf_counter())
        run_steps = compiled_steps()
        laps.append(time.perf_counter())
        metric = mode.curvature_metric(best, rank, dtype)
        call = _Steps(run_steps, metric, best.position.astype(dtype), data, dtype, block)
        progress.start(1, max(num_steps, 1))
        state = jax.tree.map(np.asarray, _first_state(dim, shape, dtype))
        state, _, log_p, log_q = call(
            key_steps, state, num_steps, spec.learning_rate,
            lambda done: progress.update(0, done, "steps", 0),
        )  # fmt: skip
        elbo = (log_p - log_q).mean(1)
        guide = state.average if num_steps else state.guide
        laps.append(time.perf_counter())
        progress.message("drawing from the approximation")
        start = jax.tree.map(np.asarray, _first_state(dim, shape, dtype))
        calls = -(-spec.num_draws // spec.num_particles)
        _, positions, log_p, log_q = call(key_draws, start._replace(guide=guide), calls, 0.0)
        laps.append(time.perf_counter())
    keep = lambda x: x.reshape(-1, *x.shape[2:])[: spec.num_draws]  # noqa: E731
    positions, log_p, log_q = keep(positions), keep(log_p), keep(log_q)
    log_weights, k = smooth_weights(log_p.astype(np.float64) - log_q)
    message = _message(k, best.is_minimum, num_steps == 0)
    if message:
        progress.message(message)
    mean, covariance = _moments(guide, metric, best.position)
    return SVIResult(
        positions, elbo if num_steps else np.atleast_1d((log_p - log_q).mean()), log_p, log_q,
        log_weights, k, mean, covariance, message,
        dict(zip(("compile", "mode", "wait", "steps", "draws"), np.diff(laps).tolist(), strict=True)),
    )  # fmt: skip


class _Steps:
    """Calls the compiled steps block after block."""

    def __init__(
        self, run: Any, metric: nuts.Metric, centre: NDArray, data: Any, dtype: Any, block: int
    ) -> None:
        self.run, self.metric, self.centre = run, metric, centre
        self.data, self.dtype, self.block = data, dtype, block

    def __call__(
        self,
        rng_key: Array,
        state: Any,
        total: int,
        learning_rate: float,
        report: Callable[[int], None] = lambda done: None,
    ) -> tuple[Any, NDArray, NDArray, NDArray]:
        """The last state; positions (step, particle, dim), log_p and log_q (step, particle).

        Positions are kept for the draws only (a learning rate of 0).
        """
        dim = self.centre.shape[0]
        parts: list[list[NDArray]] = [[np.zeros((0, 1, dim))], [np.zeros((0, 1))], [np.zeros((0, 1))]]
        for number, done in enumerate(range(0, total, self.block)):
            count = min(self.block, total - done)
            state, *out = self.run(
                jax.random.fold_in(rng_key, number), state, self.metric, self.centre,
                np.int32(count), np.int32(total), self.dtype.type(learning_rate), self.data,
            )  # fmt: skip
            for part, x in zip(parts[bool(learning_rate) :], out[bool(learning_rate) :], strict=True):
                part.append(np.asarray(x)[:count])
            report(done + count)
        joined = [np.concatenate(part[1:] or part) for part in parts]
        return jax.tree.map(np.asarray, state), joined[0], joined[1], joined[2]


def _moments(guide: Gaussian, metric: nuts.Metric, centre: NDArray) -> tuple[NDArray, NDArray]:
    """Mean and covariance of the approximation, in positions."""
    factor = np.diag(np.exp(np.asarray(guide.log_scale, np.float64)))
    if guide.lower.size:
        factor = factor + np.tril(guide.lower, -1)
    linear = mode.dense(metric)
    root = linear @ factor
    return centre + linear @ np.asarray(guide.location, np.float64), root @ root.T


def _message(k: float, is_minimum: bool, is_laplace: bool) -> str:
    parts = []
    if k > UNTRUSTED_K:
        parts.append(
            f"k-hat is {k:.2f} (above {UNTRUSTED_K}): the approximation is not trustworthy; use NUTS."
        )
    if is_laplace and not is_minimum:
        parts.append(
            "The density is flat or curves upwards at the mode, so that its curvature gives no "
            "variance there; use NUTS, or tighter priors."
        )
    return " ".join(parts)
