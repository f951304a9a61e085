"""A fitted model: specification, data and draws; everything else is rebuilt on demand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
import xarray as xr

from mmm_bayes.data.lift_tests import LiftTest, from_json
from mmm_bayes.data.scaling import Scaling, fit_scaling
from mmm_bayes.data.schema import MMMData
from mmm_bayes.model import arrays as model_arrays
from mmm_bayes.model import units
from mmm_bayes.model.baseline import TimeFrame
from mmm_bayes.model.spec import ModelSpec
from mmm_bayes.model.structure import ModelArrays, Structure, structure_of

NDArray = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted model, from which all results are computed.

    Attributes
    ----------
    spec, data
        The model, and the table it was fitted to.
    tree
        Draws in the units of the table, under ArviZ's group names.
    """

    spec: ModelSpec
    data: MMMData
    tree: xr.DataTree

    @cached_property
    def structure(self) -> Structure:
        """The fixed part of the model for these columns."""
        data = self.data
        return structure_of(self.spec, data.channels, data.controls, data.num_geos)

    @cached_property
    def scaling(self) -> Scaling:
        """Scales fitted on the training table."""
        return fit_scaling(self.data, self.spec.likelihood.link)

    @cached_property
    def frame(self) -> TimeFrame:
        """The training window."""
        return TimeFrame.from_data(self.data)

    @cached_property
    def log_rate(self) -> float:
        """Logarithm of the mean count per head, the centre of a count model's intercept."""
        return model_arrays.log_rate(self.data)

    @cached_property
    def lift_tests(self) -> tuple[LiftTest, ...]:
        """Lift tests that the fit was calibrated with."""
        return from_json(str(self.tree["posterior"].attrs.get("lift_tests", "[]")))

    @property
    def dtype(self) -> Any:
        """Floating type of the computation."""
        return np.dtype(self.spec.sampler.real)

    @cached_property
    def arrays(self) -> ModelArrays:
        """Arrays of the training window."""
        with self.precision():
            return model_arrays.training_arrays(
                self.structure, self.data, self.scaling, self.frame, self.dtype
            )

    def window(self, data: MMMData, *, carry_over: bool) -> ModelArrays:
        """Build the arrays of other dates, or of other spend.

        Parameters
        ----------
        data
            Table with the same channels, controls and geos.
        carry_over
            Whether the training exposure carries over into the window, as in a forecast.
        """
        history = model_arrays.scaled_media(self.data, self.scaling) if carry_over else None
        reference = model_arrays.effect_reference(self.data, self.scaling)
        with self.precision():
            arrays = model_arrays.window_arrays(
                self.structure, data, self.scaling, self.frame, history, self.log_rate, reference
            )
        return model_arrays.cast(arrays, self.dtype)

    def precision(self) -> Any:
        """Return a context in which JAX computes in the precision of the fit."""
        return jax.enable_x64(self.dtype == np.float64)

    def scaled(
        self, group: str = "posterior", max_draws: int | None = None
    ) -> tuple[dict[str, NDArray], NDArray, NDArray]:
        """Return scaled parameters with draws on one axis, and their chain and draw labels.

        ``max_draws`` thins evenly within chains (at least one draw per chain).
        """
        ds = self.tree[group].to_dataset()
        if max_draws is not None and ds.sizes["chain"] * ds.sizes["draw"] > max_draws:
            keep = max(1, max_draws // ds.sizes["chain"])
            ds = ds.isel(draw=np.linspace(0, ds.sizes["draw"] - 1, keep).round().astype(int))
        flat = {
            str(name): value.values.reshape(-1, *value.shape[2:])
            for name, value in ds.data_vars.items()
        }
        params = units.to_scaled(self.structure, self.scaling, self.log_rate, flat)
        params = {name: np.asarray(x, self.dtype) for name, x in params.items()}
        return params, ds["chain"].values, ds["draw"].values


def in_batches(params: dict[str, NDArray], size: int) -> Iterator[tuple[dict[str, NDArray], int]]:
    """Yield equal batches of draws (the last padded with its first row) with their true lengths."""
    count = len(next(iter(params.values())))
    for start in range(0, count, size):
        index = np.arange(start, start + size)
        index = np.where(index < count, index, start)
        yield {name: x[index] for name, x in params.items()}, min(size, count - start)
