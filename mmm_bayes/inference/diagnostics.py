"""A verdict on a run of a sampler: PASS, REVIEW or FAIL, with reasons and what to do about them.

Knows nothing of the model that was sampled. Checks that do (a negative baseline, an implausible
return on spend) are made elsewhere and join through :func:`combine`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from mmm_bayes.inference.convergence import bfmi as bfmi_per_chain
from mmm_bayes.inference.hmc_checks import check_divergences, check_energy, check_tree_depth
from mmm_bayes.inference.prior_checks import check_conflict, check_unidentified
from mmm_bayes.inference.quantities import (
    MIN_PRIOR_DRAWS,
    SAMPLE_DIMS,
    Quantities,
    draws_of,
    gather,
)
from mmm_bayes.inference.sampling_checks import (
    chance_rhat,
    check_chains,
    check_ess,
    check_finite,
    check_rhat,
)
from mmm_bayes.inference.thresholds import DiagnosticsThresholds
from mmm_bayes.inference.verdict import DiagnosticsReport, combine, verdict_of
from mmm_bayes.runtime.findings import Finding

__all__ = [
    "DiagnosticsReport",
    "DiagnosticsThresholds",
    "Finding",
    "combine",
    "diagnose_sampling",
    "verdict_of",
]

_MIN_DRAWS = 4  # split R-hat needs two draws in each half
_ALIASES = {
    "reached": ("reached_max_tree_depth", "reached_max_treedepth"),
    "steps": ("n_steps", "num_steps"),
    "acceptance": ("acceptance_rate", "accept_prob"),
}


def diagnose_sampling(
    tree: xr.DataTree,
    *,
    var_names: Iterable[str] | None = None,
    thresholds: DiagnosticsThresholds | None = None,
) -> DiagnosticsReport:
    """Judge the draws of a sampler.

    Checks R-hat, bulk and tail effective draws, non-finite draws, stuck chains and chains that sit
    elsewhere; with ``sample_stats`` also divergences, E-BFMI and the depth limit; with ``prior``
    also conflict of prior and posterior, and parameters on which the data say nothing.

    Parameters
    ----------
    tree
        ArviZ groups: ``posterior`` with the dimensions ``chain`` and ``draw`` (or ``sample``, one
        chain); ``sample_stats`` and ``prior`` if there are any. Checks whose input is missing are
        listed in ``stats["skipped"]``.
    var_names
        Variables of the posterior to judge; all numeric ones unless given.
    thresholds
        Limits, if not the usual ones.

    Returns
    -------
    DiagnosticsReport
        Verdict, findings, a table of R-hat and effective draws per variable, figures of the run.

    Raises
    ------
    ValueError
        If there is no posterior, a name is unknown, or chains have fewer than four draws.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> draws = np.random.default_rng(0).normal(size=(4, 500))
    >>> posterior = xr.Dataset({"beta": (("chain", "draw"), draws)})
    >>> diagnose_sampling(xr.DataTree.from_dict({"posterior": posterior})).verdict
    'PASS'
    """
    limits = DiagnosticsThresholds() if thresholds is None else thresholds
    posterior = _posterior(tree, var_names)
    first = next(iter(posterior.values()))
    chains, draws = first.sizes["chain"], first.sizes["draw"]
    if draws < _MIN_DRAWS:
        raise ValueError(
            f"the posterior has {draws} draws per chain; diagnostics need at least {_MIN_DRAWS} "
            "(and some hundreds to mean anything): raise num_samples"
        )
    skipped: list[str] = []
    sampler = _sampler_stats(tree, chains, draws, limits, skipped)
    prior = _prior(tree, posterior, skipped)
    divergent, energy = sampler.get("divergent"), sampler.get("energy")
    bfmi = None if energy is None else bfmi_per_chain(energy)
    low_bfmi = bfmi is not None and bool((bfmi < limits.bfmi_review).any())
    some_divergent = divergent is not None and 0 < divergent.sum() < divergent.size
    q = gather(
        posterior,
        divergent=divergent if some_divergent else None,
        energy=energy if low_bfmi else None,
        prior=prior,
    )
    acceptance = sampler.get("acceptance")
    if chains == 1:
        skipped.append("agreement of chains (there is one)")

    findings = check_finite(q, chains * draws)
    read_draws = partial(draws_of, posterior)
    chance = chance_rhat(q, limits, read_draws)
    blamed = check_chains(q, limits, chance, read_draws, acceptance)
    findings += blamed + check_rhat(q, limits, chance, blamed)
    findings += check_ess(q, limits, chains, draws)
    if divergent is not None:
        findings += check_divergences(q, limits, divergent)
    if bfmi is not None:
        findings += check_energy(q, limits, bfmi)
    if (reached := sampler.get("reached")) is not None:
        findings += check_tree_depth(limits, reached)
    findings += check_conflict(q, limits) + check_unidentified(q, limits)

    stats = {
        "num_chains": chains,
        "num_draws": draws,
        "num_quantities": len(q.names),
        "max_rhat": _extreme(np.nanmax, q.rhat),
        "min_ess_bulk": _extreme(np.nanmin, q.ess_bulk),
        "min_ess_tail": _extreme(np.nanmin, q.ess_tail),
        "num_divergences": None if divergent is None else int(divergent.sum()),
        "divergence_share": None if divergent is None else float(divergent.mean()),
        "bfmi": None if bfmi is None else bfmi.tolist(),
        "min_bfmi": None if bfmi is None else float(bfmi.min()),
        "tree_depth_share": None if reached is None else float(reached.mean()),
        "acceptance": None if acceptance is None else acceptance.tolist(),
        "skipped": tuple(skipped),
    }
    report = DiagnosticsReport("PASS", (), _table(posterior, q), stats)
    return combine(report, findings)


def _extreme(reduce: Any, values: np.ndarray) -> float | None:
    return float(reduce(values)) if np.isfinite(values).any() else None


def _with_sample_dims(values: xr.DataArray) -> xr.DataArray | None:
    """Bring a variable to (chain, draw, ...); None if it has no draws."""
    if "draw" not in values.dims and "sample" in values.dims:
        if "sample" in values.indexes:
            values = values.reset_index("sample", drop=True)
        values = values.rename(sample="draw")
    if "draw" not in values.dims:
        return None
    if "chain" not in values.dims:
        values = values.drop_vars("chain", errors="ignore").expand_dims("chain")
    return values.transpose(*SAMPLE_DIMS, ...)


def _posterior(tree: xr.DataTree, var_names: Iterable[str] | None) -> dict[str, xr.DataArray]:
    if "posterior" not in tree.children:
        raise ValueError(
            f"no group 'posterior' to diagnose; groups here: {sorted(tree.children) or 'none'}. "
            "Fit the model first"
        )
    group = tree["posterior"].to_dataset()
    if var_names is None:
        names = [str(name) for name, values in group.items() if values.dtype.kind in "fiu"]
    else:
        names = [var_names] if isinstance(var_names, str) else list(var_names)
    available = [str(name) for name in group.data_vars]
    for name in names:
        if name not in available:
            near = difflib.get_close_matches(name, available, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(available)}"
            raise ValueError(f"the posterior has no variable {name!r}; {hint}")
    shaped = {name: _with_sample_dims(group[name]) for name in names}
    kept = {name: values for name, values in shaped.items() if values is not None and values.size}
    if not kept:
        raise ValueError(
            "the posterior has no numeric variable with the dimensions chain and draw; "
            f"its variables: {', '.join(available) or 'none'}"
        )
    return kept


def _sampler_stats(
    tree: xr.DataTree,
    chains: int,
    draws: int,
    limits: DiagnosticsThresholds,
    skipped: list[str],
) -> dict[str, np.ndarray]:
    if "sample_stats" not in tree.children:
        skipped.append("divergences, E-BFMI, tree depth (no sample_stats)")
        return {}
    group = tree["sample_stats"].to_dataset()

    def read(*names: str) -> np.ndarray | None:
        for name in names:
            values = _with_sample_dims(group[name]) if name in group else None
            if values is not None and values.shape == (chains, draws):
                return np.asarray(values.values)
        return None

    found: dict[str, np.ndarray] = {}
    if (diverging := read("diverging")) is not None:
        found["divergent"] = diverging.astype(bool)
    else:
        skipped.append("divergences (not recorded)")
    energy = read("energy")
    if energy is not None and np.isfinite(energy).all() and (np.ptp(energy, axis=1) > 0).all():
        found["energy"] = energy.astype(np.float64)
    else:
        skipped.append("E-BFMI (no finite, varying energy recorded)")
    reached, depth, steps = (
        read(*_ALIASES["reached"]),
        read("tree_depth"),
        read(*_ALIASES["steps"]),
    )
    if reached is None and depth is not None:
        reached = depth >= limits.max_tree_depth
    if reached is None and steps is not None:
        # Only a full tree has as many steps; one that turned in its last doubling has fewer.
        reached = steps >= 2**limits.max_tree_depth - 1
    if reached is None:
        skipped.append("tree depth (not recorded)")
    else:
        found["reached"] = reached.astype(bool)
    if (acceptance := read(*_ALIASES["acceptance"])) is not None:
        found["acceptance"] = acceptance.astype(np.float64).mean(axis=1)
    return found


def _prior(
    tree: xr.DataTree, posterior: dict[str, xr.DataArray], skipped: list[str]
) -> dict[str, xr.DataArray]:
    if "prior" not in tree.children:
        skipped.append("prior against posterior (no prior draws)")
        return {}
    group = tree["prior"].to_dataset()
    usable: dict[str, xr.DataArray] = {}
    for name, values in posterior.items():
        before = _with_sample_dims(group[name]) if name in group else None
        if before is not None and set(before.dims) == set(values.dims):
            before = before.transpose(*values.dims)
        if before is None or before.shape[2:] != values.shape[2:]:
            continue
        if before.sizes["chain"] * before.sizes["draw"] < MIN_PRIOR_DRAWS:
            skipped.append(f"prior against posterior (fewer than {MIN_PRIOR_DRAWS} prior draws)")
            return {}
        if np.isfinite(before.values).all():
            usable[name] = before
    if not usable:
        skipped.append("prior against posterior (no variable in common)")
    return usable


def _table(posterior: dict[str, xr.DataArray], q: Quantities) -> xr.Dataset:
    """Lay the figures out as (diagnostic, *dims) per variable."""
    rows = ("rhat", "ess_bulk", "ess_tail")
    figures = np.stack([getattr(q, row) for row in rows])
    table, start = {}, 0
    for name, values in posterior.items():
        element = values.isel(chain=0, draw=0, drop=True)
        part = figures[:, start : start + element.size].reshape(len(rows), *element.shape)
        start += element.size
        table[name] = element.copy(data=part[0]).expand_dims(diagnostic=list(rows)).copy(data=part)
    return xr.Dataset(table)
