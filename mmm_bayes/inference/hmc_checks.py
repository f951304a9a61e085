"""Checks of the diagnostics of a Hamiltonian sampler: divergences, energy, tree depth."""

from __future__ import annotations

import numpy as np
from scipy import special

from mmm_bayes.inference.quantities import Quantities
from mmm_bayes.inference.sampling_checks import listed
from mmm_bayes.inference.thresholds import DiagnosticsThresholds
from mmm_bayes.runtime.findings import Finding, Severity

_BROKEN = 0.9  # share of divergent draws above which smaller steps do not help


def check_divergences(
    q: Quantities, t: DiagnosticsThresholds, divergent: np.ndarray
) -> list[Finding]:
    """Report divergent trajectories, and where they concentrate."""
    count = int(divergent.sum())
    if not count:
        return []
    share = count / divergent.size
    message = f"{count} divergent draws ({share:.2%} of all)."
    by_chain = divergent.sum(axis=1)
    top = int(by_chain.argmax())
    if len(by_chain) > 1 and count >= 10 and by_chain[top] > 0.8 * count:
        message = message[:-1] + f", {by_chain[top]} of them in chain {top}."
    advice = "Raise target_accept to 0.95, then 0.99, and num_warmup."
    if share > _BROKEN:
        advice = (
            "Such chains hardly move: nearly every step leads to a place where the log density is "
            "not finite or drops without bound. Look for columns whose sizes differ by orders of "
            "magnitude, priors with hard bounds against the data, and extreme values of the "
            'target; with precision="float32" try "float64".'
        )
    subject = "all chains"
    shift = np.where(q.usable, np.abs(q.divergent_rank - 0.5), np.nan)
    if np.isfinite(shift).any():
        best = int(np.nanargmax(shift))
        # Null sd of the Mann-Whitney statistic is sqrt(1 / (12 n)); Bonferroni over quantities.
        level = special.ndtri(1 - 0.005 / max(int(np.isfinite(shift).sum()), 1))
        if shift[best] > level * np.sqrt(1 / (12 * count)):
            side = "low" if q.divergent_rank[best] < 0.5 else "high"
            name = subject = q.names[best]
            message += (
                f" They concentrate where {name} is {side} (median "
                f"{q.divergent_median[best]:.3g} among them, {q.other_median[best]:.3g} elsewhere)."
            )
            advice += (
                f" If they persist, the posterior has a narrow corner at {side} {name}: use a "
                f"prior that keeps {name} away from it, or a non-centred parameterisation."
            )
    return [
        Finding(
            check="divergences",
            severity="error" if share > t.divergence_share_fail else "warning",
            where=subject,
            value=share,
            threshold=t.divergence_share_fail if share > t.divergence_share_fail else 0.0,
            message=message,
            remedy=advice,
        )
    ]


def check_energy(q: Quantities, t: DiagnosticsThresholds, bfmi: np.ndarray) -> list[Finding]:
    """Report low E-BFMI: the sampler changes its energy too slowly to reach the tails."""
    low = np.flatnonzero(bfmi < t.bfmi_review)
    if not len(low):
        return []
    worst = int(low[np.argmin(bfmi[low])])
    severity: Severity = "error" if bfmi[worst] < t.bfmi_fail else "warning"
    limit = t.bfmi_fail if severity == "error" else t.bfmi_review
    values = listed((f"chain {k} {bfmi[k]:.2f}" for k in low), len(low))
    message = f"E-BFMI below {t.bfmi_review:g}: {values}."
    culprit = ""
    corr = np.where(q.usable, np.abs(q.energy_corr), np.nan)
    if np.isfinite(corr).any():
        best = int(np.nanargmax(corr))
        if corr[best] > 0.5:
            culprit = f" of {q.names[best]}"
            message += f" The energy is correlated with {q.names[best]} ({corr[best]:.2f})."
    return [
        Finding(
            check="bfmi",
            severity=severity,
            where=f"chain {worst}",
            value=float(bfmi[worst]),
            threshold=limit,
            message=message,
            remedy="The draws may miss the tails. Tighten the prior"
            f"{culprit or ' of the scale parameters'}, or use a non-centred parameterisation; a "
            "longer num_warmup sometimes helps.",
        )
    ]


def check_tree_depth(t: DiagnosticsThresholds, reached: np.ndarray) -> list[Finding]:
    """Report trajectories that the depth limit cut short."""
    share = float(reached.mean())
    if share <= t.tree_depth_share_review:
        return []
    return [
        Finding(
            check="tree_depth",
            severity="warning",
            where="all chains",
            value=share,
            threshold=t.tree_depth_share_review,
            message=f"{share:.0%} of the trajectories stopped at the depth limit.",
            remedy="The draws are valid, but they are expensive and mix slowly: look for "
            "near-collinear channels and unscaled columns, tighten vague priors, use a dense mass "
            "matrix; only then raise max_tree_depth.",
        )
    ]
