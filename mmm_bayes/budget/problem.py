"""The objective of a plan over draws of its outcome, as a function of the solver's variables."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmm_bayes.budget import outcome as outcomes
from mmm_bayes.budget import risk
from mmm_bayes.budget.outcome import Response
from mmm_bayes.budget.risk import Objective
from mmm_bayes.budget.variables import Variables
from mmm_bayes.model.media import MediaStructure

NDArray = np.ndarray[Any, Any]

_SCREEN_DRAWS = 64
_SCREEN_ELEMENTS = 50_000  # above which rough steps use fewer draws


class Point(NamedTuple):
    """Arguments of the compiled objective: how variables are turned into a plan."""

    index: Any
    share: Any
    usual: Any


@functools.lru_cache(maxsize=32)
def value_and_gradient(structure: MediaStructure, objective: Objective) -> Any:
    """Compile the smoothed objective of variables (n,), and its gradient."""

    def value(z: Any, response: Response, point: Point, added: Any, width: Any) -> Any:
        spend = jnp.concatenate([z, jnp.zeros(1, z.dtype)])[point.index] * point.share
        found = outcomes.outcome(structure, response, spend + added * point.usual)
        return risk.smooth(objective, found, width)

    return jax.jit(jax.value_and_grad(value))


@dataclass(frozen=True, eq=False)
class Problem:
    """An objective over draws of outcomes, and the variables of the plan."""

    structure: MediaStructure
    response: Response
    variables: Variables
    objective: Objective
    dates: int
    cache: dict[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def scale(self) -> NDArray:
        """Typical size (n,) of each variable, the unit of the solver's steps."""
        usual = np.asarray(self.response.prices.anchor)
        spend = np.where(self.variables.index < self.variables.size, usual, 0.0)
        sums = self.variables.values(spend)
        today = self.variables.today
        return np.maximum(0.5 * (sums + today), 1e-6 * max(float(today.sum()), 1e-300))

    @functools.cached_property
    def screen(self) -> Response:
        """Draws for rough steps: a subset if evaluating all of them takes long."""
        draws, channels, geos = np.shape(self.response.effect)
        size = draws * channels * geos * np.shape(self.response.weight)[1]
        if draws <= 2 * _SCREEN_DRAWS or size < _SCREEN_ELEMENTS:
            return self.response
        return thinned(self.response, np.linspace(0, draws - 1, _SCREEN_DRAWS).round().astype(int))

    @functools.cached_property
    def point(self) -> Point:
        """How variables are turned into a plan."""
        moves = self.variables.index < self.variables.size
        usual = np.where(moves, np.asarray(self.response.prices.anchor), 0.0)
        with jax.enable_x64(True):
            return Point(*map(jnp.asarray, (self.variables.index, self.variables.share, usual)))

    def smooth(
        self, z: NDArray, added: float, width: float, screen: bool = False
    ) -> tuple[float, NDArray]:
        """Return the smoothed objective and its gradient in money."""
        self.cache["evaluations"] = self.cache.get("evaluations", 0) + 1
        with jax.enable_x64(True):
            response = self._on_device(screen)
            value, slope = self._function(z, response, self.point, added, width)
            return float(value), np.asarray(slope)

    @functools.cached_property
    def _function(self) -> Any:
        return value_and_gradient(self.structure, self.objective)

    def _on_device(self, screen: bool) -> Response:
        name = "screen" if screen else "response"
        if name not in self.cache:
            self.cache[name] = jax.tree.map(jnp.asarray, self.screen if screen else self.response)
        return self.cache[name]

    def draws(self, spend: NDArray) -> NDArray:
        """Return the outcome (draw,) of a plan."""
        with jax.enable_x64(True):
            function = outcomes.compiled(self.structure, outcomes.outcome)
            return np.asarray(function(self._on_device(False), spend))

    def exact(self, z: NDArray) -> float:
        """Return the objective of variables, without smoothing or added spend."""
        return risk.exact(self.objective, self.draws(self.variables.spend(z)))

    @property
    def evaluations(self) -> int:
        """Number of gradients computed so far."""
        return int(self.cache.get("evaluations", 0))


def thinned(response: Response, draws: NDArray) -> Response:
    """Return the response of some of the draws."""
    return response._replace(
        params={name: value[draws] for name, value in response.params.items()},
        kernels=response.kernels[draws],
        effect=response.effect[draws],
        base=response.base[draws],
        nothing=response.nothing[draws],
    )
