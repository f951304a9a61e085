r"""Stochastic steps of a Gaussian guide on the evidence lower bound, as one compiled program.

In whitened coordinates, ``x = c + A z``, the guide is ``z = m + T eps`` with ``eps`` standard
normal and ``T`` lower triangular or diagonal. Gradients follow the path of the draw alone
("sticking the landing"), which here has a closed form: with

.. math:: r = A' \nabla \log p(x) + T^{-T} \varepsilon

the gradients are the mean of ``r`` for ``m`` and of ``r eps'`` for ``T``. They vanish for every
single draw if guide and posterior agree.

References
----------
Kucukelbir, Tran, Ranganath, Gelman and Blei (2017), Automatic Differentiation Variational
Inference, JMLR 18; Roeder, Wu and Duvenaud (2017), Sticking the Landing, NeurIPS; Dhaka et al.
(2020), Robust, Accurate Stochastic Optimization for Variational Inference, NeurIPS (averages).
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from mmm_bayes.inference import nuts
from mmm_bayes.inference.mode import Potential
from mmm_bayes.inference.tracing import tracing

Array = jax.Array
NDArray = np.ndarray[Any, Any]
Numbers = Any  # an array of JAX while traced, of NumPy between blocks

_AVERAGED = 0.3  # last share of the steps whose iterates are averaged
_LAST_RATE = 0.01  # of the learning rate, at the end of the cosine
_CLIP = 10.0  # largest path gradient, in lengths of the noise that made it


class Gaussian(NamedTuple):
    """``z = location + T eps``: ``T`` has diagonal ``exp(log_scale)`` and ``lower`` below it.

    ``lower`` is (dim, dim), or (0, 0) for a diagonal ``T``.
    """

    location: Numbers
    log_scale: Numbers
    lower: Numbers


class GuideState(NamedTuple):
    """State of the optimisation: the guide, the average of its last iterates, Adam's moments."""

    guide: Gaussian
    average: Gaussian
    optimiser: Any
    step: Numbers


class GuideDraws(NamedTuple):
    """Draws of the guide made by the steps, each of shape (step, particle, ...).

    Positions and gradients of the potential end in ``dim``; ``log_p`` is minus the potential.
    """

    positions: Numbers
    gradients: Numbers
    log_p: Numbers
    log_q: Numbers


class StepShape(NamedTuple):
    """Static properties of a compiled program of steps."""

    triangular: bool
    rank: int
    particles: int
    block: int


def first_state(dim: int, shape: StepShape, dtype: Any) -> GuideState:
    """Return the state with a standard normal guide."""
    zeros = np.zeros(dim, dtype)
    side = dim if shape.triangular else 0
    guide = Gaussian(zeros, zeros, np.zeros((side, side), dtype))
    moments = jax.tree.map(np.asarray, _adam().init(guide))
    return GuideState(guide, guide, moments, np.int32(0))


def elbo_step(
    value_and_grad: Callable[[Array], tuple[Array, Array]],
    guide: Gaussian,
    metric: nuts.Metric,
    centre: Array,
    noise: Array,
) -> tuple[GuideDraws, Gaussian]:
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
        The draws, without the axis of steps, and the gradient of the bound for the guide.
    """
    particles, dim = noise.shape
    scale = jnp.exp(guide.log_scale)
    z = guide.location + scale * noise
    score = noise / scale
    triangular = guide.lower.size > 0
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
    # One draw in a far tail must not undo what the others taught.
    norm = jnp.linalg.norm(path, axis=1, keepdims=True)
    finite = jnp.isfinite(values)[:, None] & jnp.isfinite(norm)
    most = _CLIP * jnp.linalg.norm(score, axis=1, keepdims=True)
    path = jnp.where(finite, path * jnp.minimum(1.0, most / jnp.maximum(norm, 1e-30)), 0.0)
    gradient = Gaussian(
        jnp.mean(path, 0),
        scale * jnp.mean(path * noise, 0),
        jnp.tril(path.T @ noise / particles, -1) if triangular else guide.lower,
    )
    log_p = jnp.where(jnp.isnan(values), -jnp.inf, -values)
    return GuideDraws(positions, gradients, log_p, log_q), gradient


class SVIProgram:
    """The compiled steps of one potential; compiled once per shape of data and guide.

    Parameters
    ----------
    potential
        Maps (position (dim,), data pytree) to the negative log density.
    dim
        Number of unconstrained parameters.
    """

    def __init__(self, potential: Potential, dim: int) -> None:
        self.potential, self.dim = potential, dim
        self._compiled: dict[Any, _InThread] = {}
        self._lock = threading.Lock()

    def compile(self, data: Any, dtype: Any, shape: StepShape) -> tuple[Any, Callable[[], Any]]:
        """Compile the potential with its gradient; return it and a function that awaits the steps.

        Both are traced here; the steps compile in a separate thread, so that the search for a mode
        does not wait for them.
        """
        leaves, structure = jax.tree.flatten(data)
        key = (structure, tuple((x.shape, str(x.dtype)) for x in leaves), str(dtype))
        with self._lock:
            if key not in self._compiled:
                position = jax.ShapeDtypeStruct((self.dim,), dtype)
                with tracing():
                    lowered = jax.jit(jax.value_and_grad(self.potential)).lower(position, data)
                self._compiled[key] = _InThread(lowered.compile)
            if (key, shape) not in self._compiled:
                lowered = self._lower_steps(data, dtype, shape)
                self._compiled[key, shape] = _InThread(lowered.compile)
        return self._compiled[key].result(), self._compiled[key, shape].result

    def _lower_steps(self, data: Any, dtype: Any, shape: StepShape) -> Any:
        real: Any = lambda *shape: jax.ShapeDtypeStruct(shape, dtype)  # noqa: E731
        dim, rank = self.dim, shape.rank
        key = jax.eval_shape(lambda: jax.random.key(0))
        metric = nuts.Metric(real(dim), real(dim, rank), real(rank))
        integer = jax.ShapeDtypeStruct((), np.int32)
        state = first_state(dim, shape, dtype)
        with tracing():
            return jax.jit(functools.partial(self._steps, shape)).lower(
                key, state, metric, real(dim), integer, integer, real(), data
            )

    def _steps(
        self,
        shape: StepShape,
        rng_key: Array,
        state: GuideState,
        metric: nuts.Metric,
        centre: Array,
        count: Array,
        total: Array,
        learning_rate: Array,
        data: Any,
    ) -> tuple[GuideState, GuideDraws]:
        """Make ``count <= block`` of ``total`` steps.

        With a learning rate of 0 it draws from the guide, so that no second program is needed.
        """
        particles, block, dtype = shape.particles, shape.block, centre.dtype
        noise = jax.random.normal(rng_key, (block, particles, self.dim), dtype)
        adam = _adam()
        steps = total.astype(dtype)

        def body(i: Array, carry: tuple[GuideState, GuideDraws]) -> tuple[GuideState, GuideDraws]:
            state, buffers = carry
            draws, gradient = elbo_step(
                lambda x: jax.value_and_grad(self.potential)(x, data),
                state.guide, metric, centre, noise[i],
            )  # fmt: skip
            step = state.step.astype(dtype)
            cosine = 0.5 * (1.0 + jnp.cos(jnp.pi * step / steps))
            rate = learning_rate * (_LAST_RATE + (1.0 - _LAST_RATE) * cosine)
            update, optimiser = adam.update(gradient, state.optimiser)
            guide = jax.tree.map(lambda x, u: x + rate * u, state.guide, update)
            averaged = jnp.maximum(step - (1.0 - _AVERAGED) * steps, 0.0) + 1.0
            average = jax.tree.map(
                lambda mean, x: mean + (x - mean) / averaged, state.average, guide
            )
            buffers = jax.tree.map(lambda buffer, x: buffer.at[i].set(x), buffers, draws)
            return GuideState(guide, average, optimiser, state.step + 1), buffers

        rows, scalars = jnp.zeros_like(noise), jnp.zeros((block, particles), dtype)
        carry = (state, GuideDraws(rows, rows, scalars, scalars))
        return jax.lax.fori_loop(0, count, body, carry)


class _InThread:
    """A computation that runs in a separate thread."""

    def __init__(self, work: Callable[[], Any]) -> None:
        pool = ThreadPoolExecutor(1)
        self.result = pool.submit(work).result
        pool.shutdown(wait=False)


def _adam() -> Any:
    # Imported here: the sampler does not need it.
    import optax

    # A memory of 100 steps for the squares: the start is good, so scales settle early. Gradients
    # are in nats per standard deviation: those below 1e-3 do not deserve a full step.
    return optax.scale_by_adam(b1=0.9, b2=0.99, eps=1e-3)
