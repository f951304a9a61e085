r"""Prior sensitivity by power-scaling: how much results depend on priors and on data.

The prior (or the likelihood) is raised to a power near one, :math:`p(\theta)^\alpha p(y | \theta)`,
by importance weights on the existing draws. The sensitivity of a quantity is the rate at which its
distribution changes with :math:`\log_2 \alpha`, in cumulative Jensen-Shannon distance.

References
----------
Kallioinen, Paananen, Bürkner and Vehtari (2024), Detecting and diagnosing prior and likelihood
sensitivity with power-scaling, Statistics and Computing 34.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr

from mmm_bayes.analysis import contributions as parts
from mmm_bayes.analysis.predictive import is_augmented
from mmm_bayes.fit_result import FitResult
from mmm_bayes.inference.psis import smooth_weights
from mmm_bayes.inference.quantities import element_labels
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.priors import PriorSpec, distribution
from mmm_bayes.model.program import site_priors
from mmm_bayes.model.structure import Structure
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.findings import Finding
from mmm_bayes.runtime.report import Report
from mmm_bayes.validation.refit import log_densities

NDArray = np.ndarray[Any, Any]

PARETO_K = 0.7  # importance weights are not reliable beyond it (Vehtari et al. 2024)
THRESHOLD = 0.05  # of Kallioinen et al.: shift of a standard normal mean by about 0.3 sd
WEAKER = 0.8  # power of the priors for `median_weaker`
_MAX_LINES = 12  # of a printed result
_CONFLICT, _WEAK, _FINE = "prior-data conflict", "weak likelihood", "fine"
_ADVICE = {
    _CONFLICT: "Prior and data may disagree: widen the prior unless it states firm knowledge.",
    _WEAK: "The data say little, the prior decides: justify the prior, or run an experiment.",
    _FINE: "",
}
_BLOCKS = {
    "effect": ("beta", "roas", "marginal_roas", "contribution_share", "media_geo_scale"),
    "adstock": ("alpha", "theta", "shape", "scale"),
    "saturation": ("ec", "slope", "lam", "saturation_scale", "exponent", "rate"),
    "noise": ("sigma", "nu", "dispersion"),
}


@final
@dataclass(frozen=True, eq=False, repr=False)
class PriorSensitivity(Report):
    """Sensitivity of returns, contributions and parameters.

    Attributes
    ----------
    table
        One row per quantity: ``prior`` and ``likelihood`` sensitivity, ``diagnosis`` (``"fine"``,
        ``"weak likelihood"`` or a possible ``"prior-data conflict"``), posterior ``median``,
        ``median_weaker``, an estimate of the median with all priors raised to the power 0.8 (NaN
        if importance weights are not reliable), and ``advice``.
    blocks
        Sensitivity of the same quantities to the priors of one block only: ``effect``,
        ``adstock``, ``saturation``, ``baseline``, ``noise``.
    threshold
        Sensitivity from which a quantity is flagged.
    """

    table: pd.DataFrame
    blocks: pd.DataFrame
    threshold: float

    def flagged(self) -> pd.DataFrame:
        """Return the rows that are not fine, most sensitive first."""
        found = self.table[self.table["diagnosis"] != _FINE]
        return found.sort_values("prior", ascending=False)

    def __str__(self) -> str:
        found = self.flagged()
        if found.empty:
            return (
                f"Prior sensitivity: none of {len(self.table)} quantities is above "
                f"{self.threshold}."
            )
        lines = [f"Prior sensitivity: {len(found)} of {len(self.table)} quantities are flagged"]
        for name, row in found.iloc[:_MAX_LINES].iterrows():
            most = self.blocks.loc[str(name)].idxmax()
            lines.append(
                f"  {name}: {row['diagnosis']} (prior {row['prior']:.2f}, likelihood "
                f"{row['likelihood']:.2f}; most due to the {most} priors)"
            )
        if len(found) > _MAX_LINES:
            lines.append(f"  and {len(found) - _MAX_LINES} more: see flagged()")
        return "\n".join(lines)

    def to_frame(self) -> pd.DataFrame:
        """Return the table of quantities."""
        return self.table

    @property
    def findings(self) -> tuple[Finding, ...]:
        """A warning for every quantity that is not fine."""
        return tuple(
            Finding("prior_sensitivity", "warning", f"{name}: {row['diagnosis']}.",
                    row["advice"], str(name), value=float(row["prior"]), threshold=self.threshold)
            for name, row in self.flagged().iterrows()
        )  # fmt: skip


@named_arguments
def prior_sensitivity(
    fit: FitResult | Fitted, *, threshold: float = THRESHOLD, parameters: bool = True
) -> PriorSensitivity:
    """Measure how sensitive the results of a fit are to its priors and likelihood.

    Only priors of top-level parameters are scaled. The normal differences between geos and the
    weights of a Gaussian process are part of the model rather than choices, and are not scaled. The
    likelihood is that of the table's rows; the likelihood of lift tests is not scaled.

    Parameters
    ----------
    fit
        A fit by NUTS.
    threshold
        Sensitivity from which a quantity is flagged.
    parameters
        Whether to include parameters along with ROAS and contributions.

    Returns
    -------
    PriorSensitivity

    Raises
    ------
    ValueError
        If the fit is augmented, since its likelihood is not that of the rows.
    """
    from arviz import psense

    fitted = fit if isinstance(fit, Fitted) else fit.fitted
    if is_augmented(fitted):
        raise ValueError(
            "prior_sensitivity needs the likelihood of the table's rows, which an augmented fit "
            "does not have. Use a fit without augmentation."
        )
    tree = sensitivity_tree(fitted, parameters=parameters)
    sites = [str(name) for name in tree["log_prior"].data_vars]
    groups = {name: [s for s in sites if block_of(s) == name] for name in (*_BLOCKS, "baseline")}

    def sensitivity(group: str, names: list[str] | None = None) -> pd.Series:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = psense(tree, group=group, group_var_names=names)
        return pd.Series(
            {
                label: value
                for own in found.data_vars.values()
                for label, value in zip(element_labels(own)[0], own.values.ravel(), strict=True)
            }
        )

    table = pd.DataFrame({g: sensitivity(g) for g in ("prior", "likelihood")})
    table["diagnosis"] = [
        diagnosis(row["prior"], row["likelihood"], threshold) for _, row in table.iterrows()
    ]
    table["median"], table["median_weaker"] = _medians(tree)
    table["advice"] = table["diagnosis"].map(_ADVICE)
    blocks = pd.DataFrame({g: sensitivity("prior", names) for g, names in groups.items() if names})
    return PriorSensitivity(table.rename_axis("quantity"), blocks, threshold)


def _medians(tree: xr.DataTree) -> tuple[pd.Series, pd.Series]:
    """Compute medians as fitted, and with the priors raised to the power ``WEAKER``."""
    prior = tree["log_prior"].to_dataset().to_dataarray().sum("variable").transpose("chain", "draw")
    log_weights, k = smooth_weights((WEAKER - 1.0) * prior.values.ravel())
    weights = np.exp(log_weights)
    now, weaker = {}, {}
    for own in tree["posterior"].to_dataset().data_vars.values():
        flat = own.transpose("chain", "draw", ...).values.reshape(len(weights), -1)
        for label, column in zip(element_labels(own)[0], flat.T, strict=True):
            order = np.argsort(column)
            half = int(np.searchsorted(np.cumsum(weights[order]), 0.5))
            now[label] = float(np.median(column))
            weaker[label] = float(column[order[min(half, len(column) - 1)]])
    found = pd.Series(weaker)
    return pd.Series(now), found if k <= PARETO_K else found * np.nan


def diagnosis(prior: float, likelihood: float, threshold: float) -> str:
    """Diagnose a quantity from its two sensitivities."""
    if prior < threshold:
        return _FINE
    return _CONFLICT if likelihood >= threshold else _WEAK


def block_of(site: str) -> str:
    """Return the block of priors that a parameter belongs to."""
    return next((name for name, sites in _BLOCKS.items() if site in sites), "baseline")


def sensitivity_tree(fitted: Fitted, *, parameters: bool = True) -> xr.DataTree:
    """Build the groups for ArviZ's power-scaling: results, log priors and log likelihood."""
    posterior = fitted.tree["posterior"].to_dataset()
    paid = fitted.data.ds["paid"].values & (fitted.data.ds["spend"].values.sum((0, 1)) > 0)
    results = {"contribution": parts.media_contributions(fitted).drop_attrs()}
    if paid.any():
        names = np.array(fitted.data.channels)[paid]
        results["roas_of"] = parts.roas(fitted).sel(channel=names).rename(channel="paid_channel")
    if parameters:
        results |= {
            str(name): value
            for name, value in posterior.data_vars.items()
            if "geo" not in value.dims and np.ptp(value.values) > 0
        }
    likelihood = log_densities(fitted, fitted.data)
    groups = {
        "posterior": xr.Dataset(results).rename({"roas_of": "ROAS"} if paid.any() else {}),
        "log_prior": log_prior(fitted),
        "log_likelihood": likelihood.to_dataset(name="target"),
    }
    return xr.DataTree.from_dict(groups)


def log_prior(fitted: Fitted) -> xr.Dataset:
    """Compute the log prior ``(chain, draw)`` of every top-level parameter, summed over elements.

    Densities are on the scale of the sampler, on which priors are stated; those in the units of the
    table differ by a constant.
    """
    params, chains, draws = fitted.scaled()
    priors = top_priors(fitted.structure)
    values = {n: params[n].reshape(len(params[n]), -1) for n in priors if n in params}

    def every(values: dict[str, Any]) -> dict[str, Any]:
        return {name: _log_density(own, priors[name]) for name, own in values.items()}

    # Compiled as a whole: one compilation instead of one per operation.
    with fitted.precision():
        densities = {n: np.asarray(x) for n, x in jax.jit(every)(values).items()}
    found = {
        name: (("chain", "draw"), density.reshape(len(chains), len(draws)))
        for name, density in densities.items()
        if np.ptp(density) > 0
    }
    return xr.Dataset(found, {"chain": chains, "draw": draws})


def top_priors(structure: Structure) -> dict[str, list[PriorSpec]]:
    """Collect priors by site; parts of mixed vectors and sites scaled by others are left out."""
    process = {term.site for term in structure.terms if term.scaled_by_process}
    return {
        name: list(own)
        for name, own in site_priors(structure).items()
        if "__" not in name and name not in process
    }


def _log_density(values: jax.Array, priors: list[PriorSpec]) -> jax.Array:
    """Sum log densities (draw,) of values (draw, element); constants contribute zero."""
    total = jnp.zeros(values.shape[0])
    own = priors * values.shape[1] if len(priors) == 1 else priors
    for column, prior in enumerate(own):
        if prior.dist != "constant":
            total += distribution([prior]).log_prob(values[:, column])
    return total
