"""The no-U-turn sampler as one loop over leapfrog steps.

A trajectory is grown leaf by leaf: doubling, sub-tree and U-turn bookkeeping are data, not
recursion. The compiled program therefore contains the log density and its gradient only *once*
(NumPyro's sampler contains several copies: initial point, step-size search at the start and after
each window, tree). That shortens the compile time, which dominates small fits. When chains are
vectorised, a chain that finishes its trajectory starts the next one at once instead of waiting for
the longest. All random numbers of a block of draws are generated before the loop.

BlackJAX's trajectory in its place makes as many effective draws per CPU second and compiles more
slowly: ``docs/results/nuts_kernels.md``.

The sampler moves in whitened coordinates ``z`` with ``q = metric(z)``, so momenta are standard
normal and the U-turn criterion is a plain dot product.

References
----------
Hoffman and Gelman (2014), The No-U-Turn Sampler, JMLR 15; Betancourt (2017), A Conceptual
Introduction to Hamiltonian Monte Carlo, appendix A (multinomial weights, generalised criterion);
Phan, Pradhan and Jankowiak (2019), Composable Effects for Flexible and Accelerated Probabilistic
Programming in NumPyro (iterative tree with checkpoints).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array
Leaf = Any  # an array of JAX on the device, of NumPy on the host

MAX_DEPTH = 12
"""Static bound of the tree depth: the number of checkpoints held by a trajectory."""

_DIVERGENCE = 1000.0  # energy error past which a trajectory is called divergent, as in Stan


class Metric(NamedTuple):
    """The linear map ``q = scale * (z + vectors @ (stretch * (vectors.T @ z)))``.

    ``vectors`` (dim, rank) has orthonormal columns, so rank 0 is a diagonal mass matrix and rank
    ``dim`` a dense one. ``stretch + 1`` are the singular values along the columns.
    """

    scale: Leaf
    vectors: Leaf
    stretch: Leaf


def to_position(metric: Metric, z: Array) -> Array:
    """Map whitened coordinates to positions."""
    return metric.scale * (z + metric.vectors @ (metric.stretch * (z @ metric.vectors)))


def from_position(metric: Metric, q: Array) -> Array:
    """Map positions to whitened coordinates: the inverse of :func:`to_position`."""
    y = q / metric.scale
    shrink = metric.stretch / (1.0 + metric.stretch)
    return y - metric.vectors @ (shrink * (y @ metric.vectors))


def pull_back(metric: Metric, gradient: Array) -> Array:
    """Map a gradient with respect to positions to one with respect to ``z``."""
    y = metric.scale * gradient
    return y + metric.vectors @ (metric.stretch * (y @ metric.vectors))


class StepSize(NamedTuple):
    """Dual averaging of the log step size (Hoffman and Gelman 2014, section 3.2)."""

    log_step: Leaf
    log_step_average: Leaf
    error_average: Leaf
    count: Leaf
    centre: Leaf


def start_step_size(step_size: Any) -> StepSize:
    """Begin dual averaging around ``10 * step_size``."""
    log_step = jnp.log(jnp.asarray(step_size))
    zero = jnp.zeros_like(log_step)
    return StepSize(log_step, log_step, zero, zero, log_step + jnp.log(10.0).astype(zero.dtype))


def update_step_size(state: StepSize, accept_prob: Array, target: Array) -> StepSize:
    """Make one dual-averaging update towards an average acceptance probability of ``target``."""
    count = state.count + 1.0
    weight = 1.0 / (count + 10.0)
    error = (1.0 - weight) * state.error_average + weight * (target - accept_prob)
    log_step = state.centre - jnp.sqrt(count) / 0.05 * error
    decay = count**-0.75
    average = decay * log_step + (1.0 - decay) * state.log_step_average
    return StepSize(log_step, average, error, count, state.centre)


class NUTSState(NamedTuple):
    """State of a chain: position, potential, gradient with respect to positions, and step size."""

    position: Leaf
    potential: Leaf
    gradient: Leaf
    step_size: StepSize


class NUTSInfo(NamedTuple):
    """Diagnostics of one draw, with ArviZ's names."""

    accept_prob: Leaf
    n_steps: Leaf
    tree_depth: Leaf
    diverging: Leaf
    energy: Leaf
    potential_energy: Leaf
    step_size: Leaf
    gradient: Leaf


class _Trajectory(NamedTuple):
    """A growing trajectory; the leading axis of ``end_*``, of length 2, is (backward, forward).

    Ends are in whitened coordinates; proposals and their gradients are in positions, so that they
    outlive a change of metric.
    """

    end_z: Array
    end_p: Array
    end_g: Array
    position: Array
    potential: Array
    gradient: Array
    log_weight: Array
    p_sum: Array
    depth: Array
    sub_position: Array
    sub_potential: Array
    sub_gradient: Array
    sub_log_weight: Array
    sub_p_sum: Array
    sub_leaves: Array
    sub_uniform: Array
    checkpoint_p: Array
    checkpoint_p_sum: Array
    sum_accept: Array
    n_steps: Array
    diverging: Array
    done: Array


def _start_trajectory(
    metric: Metric, state: NUTSState, momentum: Array, uniform: Array
) -> _Trajectory:
    position, potential, gradient = state.position, state.potential, state.gradient
    z, g = from_position(metric, position), pull_back(metric, gradient)
    zero = jnp.zeros_like(potential)
    integer = jnp.zeros((), jnp.int32)
    false = jnp.zeros((), bool)
    checkpoints = jnp.zeros((MAX_DEPTH, *z.shape), z.dtype)
    end_z, end_p, end_g = (jnp.stack([x, x]) for x in (z, momentum, g))
    return _Trajectory(
        end_z, end_p, end_g,
        position, potential, gradient, zero, momentum, integer,
        position, potential, gradient, zero - jnp.inf, jnp.zeros_like(momentum), integer, uniform,
        checkpoints, checkpoints, zero, integer, false, false,
    )  # fmt: skip


def _turning(p_first: Array, p_last: Array, p_sum: Array) -> Array:
    """Evaluate Betancourt's generalised criterion, half of each end subtracted from the sum."""
    rho = p_sum - 0.5 * (p_first + p_last)
    return (jnp.sum(p_first * rho, -1) <= 0) | (jnp.sum(p_last * rho, -1) <= 0)


def _checkpoint_range(leaf: Array) -> tuple[Array, Array]:
    """Return the first and last checkpoint whose sub-tree ends at this leaf, or the leaf's slot."""
    last = jax.lax.population_count(leaf >> 1)
    closed = jax.lax.population_count((~leaf & (leaf + 1)) - 1)
    return last - closed + 1, last


def _add_leaf(
    value_and_grad: Callable[[Array], tuple[Array, Array]],
    metric: Metric,
    step: Array,
    energy_start: Array,
    uniforms: Array,
    max_depth: Array,
    tree: _Trajectory,
) -> _Trajectory:
    """Make one leapfrog step and update the trajectory."""
    forward = uniforms[tree.depth, 0] < 0.5
    side = forward.astype(jnp.int32)
    eps = jnp.where(forward, step, -step)
    p = tree.end_p[side] - 0.5 * eps * tree.end_g[side]
    z = tree.end_z[side] + eps * p
    position = to_position(metric, z)
    potential, gradient = value_and_grad(position)
    g = pull_back(metric, gradient)
    p = p - 0.5 * eps * g

    error = potential + 0.5 * jnp.sum(p * p) - energy_start
    error = jnp.where(jnp.isnan(error), jnp.inf, error)
    diverging = error > _DIVERGENCE

    # Multinomial choice within the sub-tree. One uniform serves all its leaves: given the decision,
    # the rescaled uniform is again uniform and independent of it.
    sub_log_weight = jnp.logaddexp(tree.sub_log_weight, -error)
    accept = jnp.where(tree.sub_leaves == 0, 1.0, jnp.exp(-error - sub_log_weight))
    take = tree.sub_uniform < accept
    sub_uniform = jnp.where(
        take,
        tree.sub_uniform / jnp.maximum(accept, 1e-30),
        (tree.sub_uniform - accept) / jnp.maximum(1.0 - accept, 1e-30),
    )
    sub_position = jnp.where(take, position, tree.sub_position)
    sub_potential = jnp.where(take, potential, tree.sub_potential)
    sub_gradient = jnp.where(take, gradient, tree.sub_gradient)
    sub_p_sum = tree.sub_p_sum + p

    # U-turns inside the sub-tree, against the checkpoints its balanced sub-trees begin at.
    leaf = tree.sub_leaves
    first, last = _checkpoint_range(leaf)
    even = leaf % 2 == 0
    store = lambda buffer, x: buffer.at[last].set(jnp.where(even, x, buffer[last]))  # noqa: E731
    checkpoint_p = store(tree.checkpoint_p, p)
    checkpoint_p_sum = store(tree.checkpoint_p_sum, sub_p_sum)
    index = jnp.arange(MAX_DEPTH)
    between = sub_p_sum - checkpoint_p_sum + checkpoint_p
    turning = jnp.any(
        _turning(checkpoint_p, p, between) & (index >= first) & (index <= last) & ~even
    )

    # A complete sub-tree joins the trajectory, with a bias towards the new half.
    leaves = leaf + 1
    complete = leaves == (1 << tree.depth)
    join = complete & ~turning & ~diverging
    swap = join & (uniforms[tree.depth, 1] < jnp.exp(sub_log_weight - tree.log_weight))
    end_p = tree.end_p.at[side].set(p)
    p_sum = jnp.where(join, tree.p_sum + sub_p_sum, tree.p_sum)
    depth = tree.depth + join
    closed = join & (_turning(end_p[0], end_p[1], p_sum) | (depth >= max_depth))
    return _Trajectory(
        end_z=tree.end_z.at[side].set(z),
        end_p=end_p,
        end_g=tree.end_g.at[side].set(g),
        position=jnp.where(swap, sub_position, tree.position),
        potential=jnp.where(swap, sub_potential, tree.potential),
        gradient=jnp.where(swap, sub_gradient, tree.gradient),
        log_weight=jnp.where(join, jnp.logaddexp(tree.log_weight, sub_log_weight), tree.log_weight),
        p_sum=p_sum,
        depth=depth,
        sub_position=sub_position,
        sub_potential=sub_potential,
        sub_gradient=sub_gradient,
        sub_log_weight=jnp.where(join, -jnp.inf, sub_log_weight),
        sub_p_sum=jnp.where(join, 0.0, sub_p_sum),
        sub_leaves=jnp.where(join, 0, leaves),
        sub_uniform=jnp.where(join, uniforms[depth, 2], sub_uniform),
        checkpoint_p=checkpoint_p,
        checkpoint_p_sum=checkpoint_p_sum,
        sum_accept=tree.sum_accept + jnp.minimum(1.0, jnp.exp(-error)),
        n_steps=tree.n_steps + 1,
        diverging=tree.diverging | diverging,
        done=turning | diverging | closed,
    )


def sample_block(
    value_and_grad: Callable[[Array], tuple[Array, Array]],
    rng_key: Array,
    state: NUTSState,
    metric: Metric,
    count: Array,
    max_depth: Array,
    target_accept: Array,
    adapt: Array,
    *,
    block: int,
) -> tuple[NUTSState, Array, NUTSInfo]:
    """Make ``count <= block`` draws with a fixed metric, adapting the step size if ``adapt``.

    Parameters
    ----------
    value_and_grad
        Maps a position (dim,) to the potential energy (negative log density) and its gradient.
    rng_key
        Key of this block.
    state, metric
        Where to start, and the whitening map.
    count, max_depth, target_accept, adapt
        Traced scalars, so one compiled program serves warm-up and sampling.
    block
        Static size of the returned buffers.

    Returns
    -------
    tuple
        The state after the last draw, positions (block, dim), and a ``NUTSInfo`` of arrays
        (block,). Rows from ``count`` on are zero.

    Notes
    -----
    With ``potential = 1e30``, a zero gradient and step size 0, the first draw evaluates the density
    at the given position. That is how a chain starts, without a second copy of the gradient.
    """
    dim, dtype = state.position.shape[0], state.position.dtype
    key_momentum, key_uniform = jax.random.split(rng_key)
    momenta = jax.random.normal(key_momentum, (block, dim), dtype)
    uniforms = jax.random.uniform(key_uniform, (block, MAX_DEPTH + 1, 3), dtype)

    def begin(i: Array, state: NUTSState) -> _Trajectory:
        return _start_trajectory(metric, state, momenta[i], uniforms[i, 0, 2])

    def energy(i: Array, state: NUTSState) -> Array:
        return state.potential + 0.5 * jnp.sum(momenta[i] * momenta[i])

    def log_step(state: NUTSState) -> Array:
        return jnp.where(adapt, state.step_size.log_step, state.step_size.log_step_average)

    def finish(i: Array, state: NUTSState, tree: _Trajectory) -> tuple[Any, ...]:
        accept_prob = tree.sum_accept / tree.n_steps
        adapted = update_step_size(state.step_size, accept_prob, target_accept)
        step_size = jax.tree.map(
            lambda new, old: jnp.where(adapt, new, old), adapted, state.step_size
        )
        state = NUTSState(tree.position, tree.potential, tree.gradient, step_size)
        return i + 1, state, begin(jnp.minimum(i + 1, block - 1), state)

    def body(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        i, state, tree, buffers = carry
        step, energy_start = jnp.exp(log_step(state)), energy(i, state)
        tree = _add_leaf(value_and_grad, metric, step, energy_start, uniforms[i], max_depth, tree)
        info = NUTSInfo(
            accept_prob=tree.sum_accept / tree.n_steps,
            n_steps=tree.n_steps,
            tree_depth=tree.depth,
            diverging=tree.diverging,
            energy=energy_start,
            potential_energy=tree.potential,
            step_size=step,
            gradient=tree.gradient,
        )
        # Written at every leaf: cheaper than carrying the buffers through a branch.
        buffers = jax.tree.map(
            lambda buffer, x: buffer.at[i].set(x), buffers, (tree.position, info)
        )
        i, state, tree = jax.lax.cond(tree.done, finish, lambda *carry: carry, i, state, tree)
        return i, state, tree, buffers

    i = jnp.zeros((), jnp.int32)
    scalar = jnp.zeros((block,), dtype)
    integers = jnp.zeros((block,), jnp.int32)
    rows = jnp.zeros((block, dim), dtype)
    buffers = (
        rows,
        NUTSInfo(
            scalar, integers, integers, jnp.zeros((block,), bool), scalar, scalar, scalar, rows
        ),
    )
    _, state, _, (positions, info) = jax.lax.while_loop(
        lambda carry: carry[0] < count, body, (i, state, begin(i, state), buffers)
    )
    return state, positions, info
