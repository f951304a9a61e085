"""Collinearity: columns that are constant, equal to others, or nearly sums of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from mmm_bayes.data.table import Table
from mmm_bayes.runtime.findings import Finding

# Belsley, Kuh & Welsch (1980) and most textbooks on regression take 10 as the point of concern.
VIF_LIMIT = 10.0
FEW_ROWS = 3
# One less the correlation of a column with a copy of it that is rounded to about a thousandth of
# its standard deviation.
ROUNDING = 1e-7


def variance_inflation(columns: np.ndarray) -> np.ndarray:
    r"""Return the variance inflation factor of each column, :math:`1 / (1 - R_c^2)`.

    :math:`R_c^2` is the share of column ``c`` that the other columns explain linearly.

    Parameters
    ----------
    columns : array of shape (row, column)
        Centred columns.

    Returns
    -------
    array of shape (column,)
        1 for a column orthogonal to the rest, ``inf`` for one that the others reproduce, NaN for
        a column of zeros.
    """
    norms = np.sqrt((columns**2).sum(0))
    varying = norms > 1e-12 * norms.max(initial=0.0)
    unit = columns[:, varying] / norms[varying]
    factors = np.full(columns.shape[1], np.nan)
    found = np.empty(unit.shape[1])
    for c in range(unit.shape[1]):
        others = np.delete(unit, c, axis=1)
        residual = unit[:, c]
        if others.shape[1]:
            residual = residual - others @ np.linalg.lstsq(others, unit[:, c], rcond=1e-10)[0]
        left = float(residual @ residual)
        # Rounding leaves about 1e-16 per row of an exact copy.
        found[c] = 1.0 / left if left > 1e-12 else np.inf
    factors[varying] = found
    return factors


def check_collinearity(table: Table) -> list[Finding]:
    """Check that the target, channels and controls vary, and differ from each other."""
    roles, numbers = table.roles, table.numbers
    findings = _check_constant(table)
    target = None if roles.target is None else numbers.get(roles.target)
    named = {f"channel {n!r}": numbers.get(c) for n, c in roles.exposure.items()}
    named |= {f"control {n!r}": numbers.get(c) for n, c in roles.controls.items()}
    series = {n: v for n, v in named.items() if v is not None and _spread(v) > 0}
    columns = dict(zip(named, [*roles.exposure.values(), *roles.controls.values()], strict=True))
    both = list(series.values()) + ([] if target is None else [target])
    likenesses = np.abs(_correlations(both))
    for k, name in enumerate(series):
        likeness = 0.0 if target is None else float(likenesses[k, -1])
        # A column with two roles has its own finding.
        if likeness > 0.999 and columns[name] != roles.target:
            exact = likeness > 1 - 1e-9
            findings.append(
                Finding(
                    "leakage",
                    "error" if exact else "warning",
                    f"{_sentence(name)} equals the target "
                    f"{'exactly' if exact else 'almost exactly'} "
                    f"(correlation {likeness:.6f}), so it would explain everything.",
                    "Leave it out: it is an effect of the target, not a cause.",
                    where=columns[name],
                )
            )
    identical = []
    for (j, first), (k, second) in combinations(enumerate(series), 2):
        if columns[first] != columns[second] and likenesses[j, k] > 1 - ROUNDING:
            identical.append({first, second})
            remedy = "Keep one of them, or sum two channels."
            findings.append(same_series(first, second, remedy, columns[second]))
    return findings + _check_collinear(table, series, identical)


def is_same_series(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two columns are equal up to location and scale, and the rounding of their cells."""
    return abs(_correlation(a, b)) > 1 - ROUNDING


def same_series(first: str, second: str, remedy: str, where: str) -> Finding:
    """Make the finding on two columns that are the same series."""
    message = (
        f"{_sentence(first)} and {second} are the same series up to location and scale, so their "
        "effects cannot be separated."
    )
    return Finding("same_series", "error", message, remedy, where=where)


def _check_constant(table: Table) -> list[Finding]:
    return [
        *_constant_target(table),
        *_constant_channels(table),
        *_zero_spend(table),
        *_constant_controls(table),
    ]


def _constant_target(table: Table) -> list[Finding]:
    name = table.roles.target
    values = None if name is None else table.numbers.get(name)
    if name is None or values is None or not _is_constant(values):
        return []
    message = (
        f"Target {name!r} is {np.nanmean(values):g} in every row, so there is nothing to explain."
    )
    remedy = "Check that target= names the right column."
    return [Finding("constant_target", "error", message, remedy, name)]


def _constant_channels(table: Table) -> list[Finding]:
    findings = []
    for name, column in table.roles.exposure.items():
        values = table.numbers.get(column)
        if values is None or np.isnan(values).all():
            continue
        active = int((values > 0).sum())
        if active == 0:
            if not (values < 0).any():
                message = f"Channel {name!r} is 0 in every row."
                remedy = "Leave it out of channels."
                findings.append(Finding("zero_channel", "error", message, remedy, column))
        elif _spread(values) == 0:
            message = (
                f"Channel {name!r} is {np.nanmean(values):g} in every row, so its effect cannot be "
                "separated from the intercept."
            )
            remedy = "Leave it out of channels, or add dates on which it differs."
            findings.append(Finding("constant_channel", "error", message, remedy, column))
        elif active < FEW_ROWS:
            message = (
                f"Channel {name!r} is above 0 in only {active} row(s), so its effect will come "
                "from the prior."
            )
            remedy = "Merge it with a similar channel, or add a lift test."
            findings.append(Finding("few_active_rows", "warning", message, remedy, column))
    return findings


def _zero_spend(table: Table) -> list[Finding]:
    roles, findings = table.roles, []
    for name, money in roles.spend.items():
        if money is None or money == roles.exposure.get(name) or money not in table.numbers:
            continue
        if not (table.numbers[money] != 0).any():
            message = f"Channel {name!r} has no spend in any row, so it has no ROAS."
            remedy = f"Mark it as unpaid: spend={{..., {name!r}: None}}."
            findings.append(Finding("zero_spend", "warning", message, remedy, money))
    return findings


def _constant_controls(table: Table) -> list[Finding]:
    findings = []
    for name, column in table.roles.controls.items():
        values = table.numbers.get(column)
        if values is not None and _is_constant(values):
            message = (
                f"Control {name!r} is {np.nanmean(values):g} in every row, so its effect cannot be "
                "separated from the intercept."
            )
            remedy = "Leave it out of controls."
            findings.append(Finding("constant_control", "error", message, remedy, column))
    return findings


def _is_constant(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).any()) and _spread(values) == 0


def _check_collinear(
    table: Table, series: Mapping[str, np.ndarray], identical: list[set[str]]
) -> list[Finding]:
    channels = {n: v for n, v in series.items() if n.startswith("channel")}
    if len(channels) < 2 or table.geos is None:
        return []
    columns = np.stack([v for v in channels.values()], axis=1)
    columns = columns[np.isfinite(columns).all(1)]
    if len(columns) <= len(channels):
        return []
    if len(columns) == table.num_rows:
        # A geo model does not separate channels by differences between geos.
        columns = columns - _geo_means(columns, table.geos.codes)
    else:
        columns = columns - columns.mean(0)
    # The triangular factor has the same norms and inner products as the full columns.
    columns = np.asarray(np.linalg.qr(columns, mode="r"))
    factors = variance_inflation(columns)
    names = list(channels)
    norms = np.linalg.norm(columns, axis=0)
    unit = np.divide(columns, norms, out=np.zeros_like(columns), where=norms > 0)
    likeness = np.minimum(np.abs(unit.T @ unit), 1.0)
    np.fill_diagonal(likeness, 0)
    findings = []
    for c in np.flatnonzero(factors > VIF_LIMIT):
        partner = names[int(np.argmax(likeness[c]))]
        if any(names[c] in pair for pair in identical):
            continue
        findings.append(
            Finding(
                "collinear_channels",
                "warning",
                f"{_sentence(names[c])} moves with the other channels: VIF {factors[c]:.1f} "
                f"(above {VIF_LIMIT:g}), most with {partner} (correlation "
                f"{likeness[c].max():.3f}).",
                "Expect wide, negatively correlated intervals. Merge the two, use tighter priors, "
                "or run a lift test on one of them.",
                where=names[c].removeprefix("channel ").strip("'"),
            )
        )
    return findings


def _geo_means(columns: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the mean of each column over the rows of the same geo."""
    own = codes + 1  # 0 is for rows whose geo is empty
    size = np.maximum(np.bincount(own), 1)
    return np.stack([(np.bincount(own, c) / size)[own] for c in columns.T], axis=1)


def _sentence(text: str) -> str:
    # str.capitalize would change the letters of a name to lower case.
    return text[:1].upper() + text[1:]


def _spread(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0
    spread = float(finite.max() - finite.min())
    # A computed constant may differ by rounding, e.g. 0.1 + 0.2 and 0.3.
    return spread if spread > 1e-12 * float(np.abs(finite).max()) else 0.0


def _correlations(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Return the correlation of each two columns over the rows in which both are finite."""
    found = np.eye(len(columns))
    whole = [k for k, c in enumerate(columns) if np.isfinite(c).all() and _spread(c) > 0]
    # One product for complete columns, which nearly all are.
    centred = [columns[k] - columns[k].mean() for k in whole]
    # Squares of tiny values would be 0.
    centred = [c / np.abs(c).max() for c in centred]
    unit = np.array([c / np.linalg.norm(c) for c in centred])
    if whole:
        found[np.ix_(whole, whole)] = np.clip(unit @ unit.T, -1.0, 1.0)
    for j, k in combinations(range(len(columns)), 2):
        if j not in whole or k not in whole:
            found[j, k] = found[k, j] = _correlation(columns[j], columns[k])
    return found


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 3 or _spread(a[both]) == 0 or _spread(b[both]) == 0:
        return 0.0
    a, b = a[both] - a[both].mean(), b[both] - b[both].mean()
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.clip(a @ b / size, -1.0, 1.0)) if size > 0 else 0.0
