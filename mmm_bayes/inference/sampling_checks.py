"""Checks of the draws: finite, mixed, enough of them, and no chain stuck.

Each check takes statistics and thresholds and returns findings; none depends on a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from scipy import special

from mmm_bayes.inference.convergence import ess_bulk, rank_rhat
from mmm_bayes.inference.quantities import Quantities
from mmm_bayes.inference.thresholds import DiagnosticsThresholds
from mmm_bayes.runtime.findings import Finding, Severity

_NAMED = 5  # quantities named in one message
_MOVES = 1e-6  # a chain with less than this share of the others' spread does not move
_SAME_PLACE = 0.1  # difference of means, in standard deviations, that counts as none
_CURED = 0.2  # a chain is to blame if leaving it out takes away 80% of the excess R-hat
_CANDIDATES = 20  # worst quantities on which chains are left out


def listed(items: Iterable[str], total: int) -> str:
    """List the first few, and state how many of the total are left."""
    shown = list(items)[:_NAMED]
    rest = total - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")


def _worst(scores: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return the indices where the condition holds, the largest score first."""
    places = np.flatnonzero(where)
    return places[np.argsort(-scores[places], kind="stable")]


def check_finite(q: Quantities, draws_in_all: int) -> list[Finding]:
    """Report NaN or infinite draws."""
    bad = _worst(q.nonfinite.astype(float), q.nonfinite > 0)
    if not len(bad):
        return []
    named = listed((f"{q.names[i]} ({q.nonfinite[i]})" for i in bad[:_NAMED]), len(bad))
    return [
        Finding(
            check="non_finite",
            severity="error",
            where=q.names[bad[0]],
            value=float(q.nonfinite[bad[0]]),
            threshold=0.0,
            message=f"Some of {draws_in_all} draws are NaN or infinite: {named}.",
            remedy="Look for a division by zero or an overflow: zero spend with a free slope, an "
            "unscaled column, a prior with very heavy tails. Running in float64 (x64) often helps.",
        )
    ]


def chance_rhat(
    q: Quantities, t: DiagnosticsThresholds, draws_of: Callable[[int], np.ndarray]
) -> np.ndarray:
    """Compute the R-hat that no quantity exceeds in 99.5% of runs that have mixed.

    The means of the ``m`` half chains of a mixed run differ by sampling noise alone, so
    ``R-hat^2 - 1`` is about ``chi2(m - 1) m / (m - 1) / ESS``. Effective draws are counted within
    chains, so that disagreement between chains does not raise the limit, which is never below
    ``rhat_review``.
    """
    limits = np.full(len(q.names), t.rhat_review)
    over = np.flatnonzero(q.usable & (q.rhat > t.rhat_review))
    if len(over):
        halves = 2 * q.chain_mean.shape[-1]
        draws = np.stack([draws_of(int(i)) for i in over])
        within = ess_bulk(draws[:, :, None, :]).sum(axis=-1)
        noise = special.chdtri(halves - 1, 0.005 / q.usable.sum()) * halves / (halves - 1)
        limits[over] = np.maximum(t.rhat_review, np.sqrt(1 + noise / within))
    return limits


def check_rhat(
    q: Quantities,
    t: DiagnosticsThresholds,
    chance: np.ndarray,
    blamed: list[Finding],
) -> list[Finding]:
    """Report chains, or the halves of one chain, that have not mixed.

    If there are enough effective draws, an R-hat up to ``rhat_fail`` passes when chance explains
    it, given the number of quantities.
    """
    enough = np.minimum(q.ess_bulk, q.ess_tail) >= t.ess_per_chain_review * q.chain_mean.shape[-1]
    limit = np.where(enough, np.minimum(chance, t.rhat_fail), t.rhat_review)
    over = _worst(np.where(q.usable, q.rhat, -np.inf), q.usable & (q.rhat > limit))
    if not len(over):
        return []
    first = over[0]
    severity: Severity = "error" if q.rhat[first] > t.rhat_fail else "warning"
    named = listed((f"{q.names[i]} {q.rhat[i]:.3f}" for i in over[:_NAMED]), len(over))
    message = (
        f"R-hat above {t.rhat_review:g} for {len(over)} of {q.usable.sum()} quantities: {named}."
    )
    if blamed:
        advice = f"See {' and '.join(f.where or '' for f in blamed)}; resolve that first."
    elif (groups := _groups(q, first)) is not None:
        message += f" Two places for {q.names[first]}: {groups}."
        advice = (
            "The posterior has two modes: the data allow two explanations (long carry-over with "
            f"early saturation, say, or the reverse). Tighten the prior of {q.names[first]} with "
            "what is known, or add an experiment that distinguishes the two."
        )
    elif severity == "error":
        advice = (
            "The chains have not converged to the same place: double num_warmup. If that does not "
            "help, reparameterise or tighten the priors of these parameters, and look for "
            "near-collinear channels."
        )
    else:
        advice = "Nearly converged: double num_warmup and num_samples."
    threshold = t.rhat_fail if severity == "error" else t.rhat_review
    return [
        Finding(
            check="rhat",
            severity=severity,
            where=q.names[first],
            value=float(q.rhat[first]),
            threshold=threshold,
            message=message,
            remedy=advice,
        )
    ]


def _groups(q: Quantities, index: int) -> str | None:
    """Describe two groups of chains, if their means leave a wide gap and each has two or more."""
    means = q.chain_mean[index]
    order = np.argsort(means)
    gaps = np.diff(means[order])
    if len(means) < 4:
        return None
    at = int(np.argmax(gaps)) + 1
    low, high = np.sort(order[:at]), np.sort(order[at:])
    if min(len(low), len(high)) < 2 or gaps[at - 1] < 2 * q.chain_sd[index].mean():
        return None

    def part(chains: np.ndarray) -> str:
        return f"{means[chains].mean():.3g} in chains {', '.join(map(str, chains))}"

    return f"{part(low)}; {part(high)}"


def check_ess(q: Quantities, t: DiagnosticsThresholds, chains: int, draws: int) -> list[Finding]:
    """Report too few effective draws for the centre, or for the ends of intervals."""
    findings = []
    unmixed = bool((q.rhat[q.usable] > t.rhat_fail).any())
    review, fail = t.ess_per_chain_review * chains, t.ess_per_chain_fail * chains
    for check, ess, use in (
        ("ess_bulk", q.ess_bulk, "means and medians"),
        ("ess_tail", q.ess_tail, "the ends of intervals"),
    ):
        under = _worst(-np.where(q.usable, ess, np.inf), q.usable & (ess < review))
        if not len(under):
            continue
        least = float(ess[under[0]])
        severity: Severity = "error" if least < fail else "warning"
        named = listed((f"{q.names[i]} {ess[i]:.0f}" for i in under[:_NAMED]), len(under))
        factor = review / max(least, 1.0)
        if unmixed:
            advice = (
                "The chains disagree (R-hat): more draws will not help before that is resolved."
            )
        elif factor <= 10:
            wanted = int(np.ceil(1.2 * factor * draws / 100) * 100)
            advice = f"Raise num_samples to about {wanted} per chain."
        else:
            advice = (
                "The sampler moves very slowly: more draws alone will not help. Raise num_warmup "
                "and target_accept, tighten vague priors, and look for near-collinear channels."
            )
        findings.append(
            Finding(
                check=check,
                severity=severity,
                where=q.names[under[0]],
                value=least,
                threshold=fail if severity == "error" else review,
                message=f"Fewer than {review:.0f} effective draws for {use} of {len(under)} of "
                f"{q.usable.sum()} quantities: {named}.",
                remedy=advice,
            )
        )
    return findings


def check_chains(
    q: Quantities,
    t: DiagnosticsThresholds,
    chance: np.ndarray,
    draws_of: Callable[[int], np.ndarray],
    acceptance: np.ndarray | None,
) -> list[Finding]:
    """Report the chain that is stuck, or the only one that is in a different place."""
    chains = q.chain_mean.shape[-1]
    if not q.usable.any():
        if not q.constant.any():
            return []
        return [_stuck("all chains", 0.0, _MOVES, "No quantity changes from draw to draw.")]
    findings = []
    spread = q.chain_sd[q.usable]
    for chain in range(chains):
        others = np.delete(spread, chain, axis=1)
        still = float((spread[:, chain] <= _MOVES * others.max(axis=1, initial=0.0)).mean())
        subject = f"chain {chain}"
        if chains > 1 and still > 0.5:
            text = f"{subject} does not move: {still:.0%} of the quantities are constant."
            findings.append(_stuck(subject, 1 - still, 0.5, text))
        elif acceptance is not None and acceptance[chain] < t.acceptance_fail:
            text = f"{subject} accepts {acceptance[chain]:.1%} of its proposals on average."
            findings.append(_stuck(subject, float(acceptance[chain]), t.acceptance_fail, text))
    if findings or chains < 3:  # if two chains differ, neither can be singled out
        return findings
    return _elsewhere(q, t, chance, draws_of)


def _stuck(subject: str, value: float, threshold: float, text: str) -> Finding:
    return Finding(
        check="stuck_chain",
        severity="error",
        where=subject,
        value=value,
        threshold=threshold,
        message=text[0].upper() + text[1:],
        remedy="Run again with another rng_key and more num_warmup; if a chain sticks again, its "
        "start is too far out or the step size collapsed: initialise at the prior median, check "
        "the scale of the columns, run in float64 (x64).",
    )


def _elsewhere(
    q: Quantities,
    t: DiagnosticsThresholds,
    chance: np.ndarray,
    draws_of: Callable[[int], np.ndarray],
) -> list[Finding]:
    chains = q.chain_mean.shape[-1]
    over = _worst(np.where(q.usable, q.rhat, -np.inf), q.usable & (q.rhat > chance))
    over = over[:_CANDIDATES]
    if not len(over):
        return []
    draws = np.stack([draws_of(int(i)) for i in over])
    without = np.stack([rank_rhat(np.delete(draws, k, axis=1)) for k in range(chains)], axis=-1)
    limit = np.maximum(t.rhat_review, 1 + _CURED * (q.rhat[over] - 1))
    cured = without <= limit[:, None]
    # Only one chain may explain a quantity; the same one, most of them.
    sole = cured & (cured.sum(axis=1, keepdims=True) == 1)
    chain = int(sole.sum(axis=0).argmax())
    if sole[:, chain].mean() < 0.5:
        return []
    worst = int(over[np.flatnonzero(sole[:, chain])[0]])
    here = q.chain_mean[worst, chain]
    rest = np.delete(q.chain_mean[worst], chain).mean()
    severity: Severity = "error" if q.rhat[worst] > t.rhat_fail else "warning"
    first = int(np.flatnonzero(sole[:, chain])[0])
    left = float(without[first, chain])
    own = draws[first].std(axis=-1)
    what = f"is in a different place: mean of {q.names[worst]}"
    # R-hat also responds to spreads: with equal means, it is they that differ.
    if abs(here - rest) < _SAME_PLACE * own.mean():
        here, rest = own[chain], np.delete(own, chain).mean()
        what = f"has a different spread: standard deviation of {q.names[worst]}"
    return [
        Finding(
            check="chain_elsewhere",
            severity=severity,
            where=f"chain {chain}",
            value=float(q.rhat[worst]),
            threshold=t.rhat_fail if severity == "error" else t.rhat_review,
            message=f"Chain {chain} {what} {here:.3g} against {rest:.3g} in the others; without it "
            f"R-hat falls from {q.rhat[worst]:.3f} to {left:.3f}.",
            remedy="Run again with another rng_key and more num_warmup. If a chain goes there "
            "again, it is a second mode: tighten the prior of "
            f"{q.names[worst]}, or add an experiment. Don't drop the chain.",
        )
    ]
