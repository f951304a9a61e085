r"""Counterfactuals ``do()`` on a system of fitted equations, week by week.

Equation ``j`` of a graph is :math:`y_j = \eta_j(\mathrm{pa}_j) + e_j`. Under an intervention each
week keeps its errors (abduction), so that a node ``j`` that is not itself intervened on becomes

.. math:: y_j^{do} = y_j + \eta_j(\mathrm{pa}_j^{do}) - \eta_j(\mathrm{pa}_j)

under an identity link, and :math:`y_j \exp(\eta_j(\mathrm{pa}_j^{do}) - \eta_j(\mathrm{pa}_j))`
under a logarithmic one; exposure does not fall below zero. Nodes are visited causes first, for
every draw of the parameters.

A change may be transmitted by some edges only: for the effect along a path, its edges transmit the
changed values and every other edge the observed ones (Pearl 2001; Shpitser 2013). The direct effect
of a channel uses its edge into the target only; the total effect uses all edges.

References
----------
Pearl (2001), Direct and indirect effects. UAI. Shpitser (2013), Counterfactual graphical models for
longitudinal mediation analysis with unobserved confounding. Cognitive Science 37.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mmm_bayes.model.fitted import Fitted, in_batches
from mmm_bayes.model.media import Params
from mmm_bayes.model.predictor import linear_coefficients, media_sum
from mmm_bayes.model.structure import ModelArrays, Structure

Array = jax.Array
NDArray = np.ndarray[Any, Any]
Edge = tuple[str, str]

_BATCH = 100  # draws evaluated together, to bound memory


@dataclass(frozen=True, eq=False)
class System:
    """Fitted equations of a graph.

    Attributes
    ----------
    equations
        Fits by node, causes before effects. Channels of an equation are its parents with adstock
        and saturation, controls those without.
    observed
        Values (geo, date) of every node.
    media
        Nodes that are exposure in some equation; they never fall below zero.
    max_draws
        Thin the draws of every equation evenly to at most this many.
    """

    equations: Mapping[str, Fitted]
    observed: Mapping[str, NDArray]
    media: frozenset[str]
    max_draws: int | None = None

    @functools.cached_property
    def parameters(self) -> dict[str, dict[str, NDArray]]:
        """Scaled parameters (draw, ...) by node; draw ``i`` of all equations belong together."""
        return {n: own.scaled("posterior", self.max_draws)[0] for n, own in self.equations.items()}

    @property
    def draw_labels(self) -> tuple[NDArray, NDArray]:
        """Labels of chains and draws."""
        first = next(iter(self.equations.values()))
        _, chains, draws = first.scaled("posterior", self.max_draws)
        return chains, draws


def under(
    system: System,
    interventions: Mapping[str, NDArray],
    through: Collection[Edge] | None = None,
) -> dict[str, NDArray]:
    """Compute the values of all nodes that change under interventions.

    Parameters
    ----------
    system
        Fitted equations.
    interventions
        Values (geo, date) that nodes are set to.
    through
        Edges that transmit changes; by default all.

    Returns
    -------
    dict
        Values by node: (1, geo, date) if equal in every draw, else (draw, geo, date).
    """
    changed = {node: np.asarray(values, float)[None] for node, values in interventions.items()}
    for node, fitted in system.equations.items():
        if node in interventions:
            continue
        parents = (*fitted.data.channels, *fitted.data.controls)
        changed_parents = {
            parent: changed[parent]
            for parent in parents
            if parent in changed and (through is None or (parent, node) in through)
        }
        if changed_parents:
            changed[node] = _response(system, node, fitted, changed_parents)
    return changed


def _response(
    system: System, node: str, fitted: Fitted, changed_parents: Mapping[str, NDArray]
) -> NDArray:
    """Compute the values of a node (draw, geo, date) given its changed parents."""
    difference = _difference(fitted, system.parameters[node], changed_parents, system.observed)
    before = system.observed[node]
    link, scaling = fitted.spec.likelihood.link, fitted.scaling
    if link == "identity":
        heads = fitted.data.ds["population"].values[:, None]
        after = before + difference * scaling.target_scale * heads
    else:
        after = before * np.exp(difference * (scaling.target_scale if link == "log" else 1.0))
    return np.maximum(after, 0.0) if node in system.media else after


def _difference(
    fitted: Fitted,
    parameters: Mapping[str, NDArray],
    changed_parents: Mapping[str, NDArray],
    observed: Mapping[str, NDArray],
) -> NDArray:
    """Compute the change of the linear predictor (draw, geo, date)."""
    data, scaling, structure = fitted.data, fitted.scaling, fitted.structure
    population = data.ds["population"].values

    def path(name: str) -> NDArray:
        return changed_parents.get(name, observed[name][None])

    per_head = population[:, None] * scaling.media_scale[:, None, None]
    count, shape = len(next(iter(parameters.values()))), (data.num_geos, data.num_dates)
    media = _stacked([path(name) for name in structure.channels], count, shape) / per_head
    control_change = _stacked(
        [path(name) - observed[name] for name in structure.controls], count, shape
    )
    control_change /= scaling.control_scale[:, None, None]
    run = _program(structure, any(name in changed_parents for name in structure.channels))
    draws = {f"p/{name}": value for name, value in parameters.items()}
    draws |= {"media": media, "control_change": control_change}
    arrays, parts = fitted.arrays._replace(block=None), []
    for batch, size in in_batches(draws, min(_BATCH, count)):
        params = {n.removeprefix("p/"): x for n, x in batch.items() if n.startswith("p/")}
        with fitted.precision():
            given = (np.asarray(batch[name], fitted.dtype) for name in ("media", "control_change"))
            parts.append(np.asarray(run(params, *given, arrays))[:size])
    return np.concatenate(parts)


def _stacked(paths: Sequence[NDArray], count: int, shape: tuple[int, int]) -> NDArray:
    """Stack paths (1 or draw, geo, date) to (draw, path, geo, date)."""
    if not paths:
        return np.zeros((count, 0, *shape))
    return np.stack([np.broadcast_to(own, (count, *shape)) for own in paths], axis=1)


@functools.lru_cache(maxsize=64)
def _program(structure: Structure, media_change: bool) -> Any:
    def one(params: Params, media: Array, control_change: Array, arrays: ModelArrays) -> Array:
        change = jnp.zeros(control_change.shape[1:], control_change.dtype)
        if structure.controls:
            controls = linear_coefficients(structure, params)[:, -len(structure.controls) :]
            change = jnp.einsum("gk,kgt->gt", controls, control_change)
        if media_change:
            after = arrays._replace(media=_with_lags(structure, media))
            change += media_sum(structure, params, after)
            change -= media_sum(structure, params, arrays)
        return change

    return jax.jit(jax.vmap(one, in_axes=(0, 0, 0, None)))


def _with_lags(structure: Structure, media: Array) -> Array:
    """Arrange exposure (channel, geo, date) as the model expects it, with zeros before it."""
    lags = structure.media.max_lag
    padded = jnp.pad(media, ((0, 0), (0, 0), (lags - 1, 0)))
    if not structure.media.adstock_first:
        return padded
    at = np.arange(media.shape[-1])[None, :] + (lags - 1) - np.arange(lags)[:, None]
    return padded[..., at]


def directed_paths(
    parents: Mapping[str, Iterable[str]], source: str, target: str
) -> list[tuple[str, ...]]:
    """List all directed paths from one node to another, shortest first."""
    found: list[tuple[str, ...]] = []

    def back(node: str, tail: tuple[str, ...]) -> None:
        if node == source:
            found.append(tail)
            return
        for parent in parents.get(node, ()):
            back(parent, (parent, *tail))

    back(target, (target,))
    return sorted(found, key=lambda path: (len(path), path))


def edges_of(path: Sequence[str]) -> frozenset[Edge]:
    """Return the edges of a path."""
    return frozenset(itertools.pairwise(path))
