"""Keyword arguments of a fit that change its sampler or its approximation.

They are the fields of :class:`~mmm_bayes.inference.mcmc.SamplerSpec` and
:class:`~mmm_bayes.inference.svi.SVISpec`, where defaults and bounds are checked; what is not given
is as the specification says.
"""

from __future__ import annotations

from typing import Literal, TypedDict


class SamplerSettings(TypedDict, total=False):
    """Settings of NUTS."""

    num_warmup: int | None
    num_samples: int | None
    num_chains: int | None
    target_accept: float | None
    max_tree_depth: int | None
    chain_method: Literal["auto", "threads", "vectorized"] | None
    precision: Literal["auto", "float64", "float32"] | None
    block: int | None


class SVISettings(TypedDict, total=False):
    """Settings of the Gaussian approximation."""

    num_steps: int | None
    learning_rate: float | None
    num_particles: int | None
    guide: Literal["auto", "full_rank", "low_rank", "mean_field"] | None
    num_draws: int | None
    num_starts: int | None


class FitSettings(SamplerSettings, SVISettings, total=False):
    """Settings of either."""


def given(settings: SamplerSettings | SVISettings | FitSettings) -> dict[str, object]:
    """Return the settings that are not ``None``."""
    return {name: value for name, value in settings.items() if value is not None}
