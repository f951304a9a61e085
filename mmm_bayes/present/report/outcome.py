"""The target over time: fit, residuals, and what it is made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmm_bayes.analysis.contributions import target_total
from mmm_bayes.analysis.predictive import autocorrelation
from mmm_bayes.present.report import traces
from mmm_bayes.present.report.blocks import Chart, Section, Table
from mmm_bayes.present.report.context import Context
from mmm_bayes.present.report.words import (
    DRAWS,
    NDArray,
    between,
    full,
    label,
    listing,
    percent,
    plural,
    rounded,
    short,
)

_MOST_GEOS = 60  # offered for choice, the largest ones
_WEEKS_OF_BARS = 420  # more bars than a screen has room for are summed by month


def fit_section(c: Context) -> Section:
    """Observed and modelled target, and what is left."""
    return Section("fit", "Fit and residuals", (_fit(c), _residuals(c)))


def _fit(c: Context) -> Chart:
    total = c.replicated.sum("geo").stack(sample=DRAWS, create_index=False).values
    low, high = _bounds(c, total)
    inside = float(((c.observed >= low) & (c.observed <= high)).mean())
    mean = c.mean_by_date
    centred = c.observed - c.observed.mean()
    explained = 1.0 - float(((c.observed - mean) ** 2).sum() / max((centred**2).sum(), 1e-300))
    off = float(np.abs(c.observed - mean).sum() / max(np.abs(c.observed).sum(), 1e-300))
    figure = _fit_figure(c, c.observed, mean, low, high)
    choices: list[tuple[str, Any]] = []
    if c.data.num_geos > 1:
        choices = [("All geos", figure), *_geo_figures(c)]
    dates = traces.dates_of(c.data.dates)
    rows = zip(dates, c.observed, mean, low, high, strict=True)
    where = "" if c.data.is_national else " summed over all geos"
    return Chart(
        "fit-chart",
        "Observed and modelled " + c.target,
        f"The model explains {percent(explained)} of the variance of {c.target}{where}; its mean "
        f"is off by {percent(off)} of {c.target} in total. {percent(inside)} of the "
        f"{plural(c.data.num_dates, c.period)} lie in the {c.interval}, where {c.ci_prob:.0%} are "
        "expected.",
        "Dots are what was observed, the line is what the model expects, and the band is where it "
        "expects an observation to fall. These dates were fitted, so a good fit here is no proof "
        "of good forecasts. A band that holds far more or fewer dots than it should, or runs of "
        "dots on one side of the line, mean that something is missing.",
        figure,
        Table(
            f"{c.target.capitalize()} per {c.period}{where}",
            (c.period.capitalize(), "Observed", "Modelled", "Lower", "Upper"),
            tuple((date, *map(full, values)) for date, *values in rows),
        ),
        400,
        tuple(choices),
        "Geo",
    )


def _bounds(c: Context, draws: NDArray) -> tuple[NDArray, NDArray]:
    tail = 0.5 * (1.0 - c.ci_prob)
    low, high = np.quantile(draws, [tail, 1.0 - tail], axis=-1)
    return low, high


def _fit_figure(
    c: Context, observed: NDArray, mean: NDArray, low: NDArray, high: NDArray
) -> dict[str, Any]:
    dates = traces.dates_of(c.data.dates)
    return {
        "data": [
            *traces.band(dates, low, high, "@model/0.22", f"predictive {c.interval}"),
            traces.line(dates, mean, "@model", "modelled"),
            traces.points(dates, rounded(observed), "@ink", "observed", marker={"size": 4}),
        ],
        "layout": traces.layout(yaxis={"title": {"text": f"{label(c.target)} per {c.period}"}}),
    }


def _geo_figures(c: Context) -> list[tuple[str, Any]]:
    observed = c.data.ds["target"].values
    drawn = c.replicated.stack(sample=DRAWS, create_index=False)
    drawn = drawn.transpose("geo", "date", "sample")
    chosen = np.sort(np.argsort(-observed.sum(1), kind="stable")[:_MOST_GEOS])
    found = []
    for geo in chosen:
        values = drawn.isel(geo=int(geo)).values
        low, high = _bounds(c, values)
        own = _fit_figure(c, observed[geo], values.mean(-1), low, high)
        found.append((str(c.data.geos[geo]), own))
    return found


def _residuals(c: Context) -> Chart:
    left = c.observed - c.mean_by_date
    lags = np.arange(1, min(20, c.data.num_dates - 2) + 1)
    own = _standardised(c)
    correlation = autocorrelation(own, len(lags)).mean(0) if len(lags) else np.zeros(0)
    limit = 1.96 / np.sqrt(c.data.num_dates)
    beyond = [int(lag) for lag, value in zip(lags, correlation, strict=True) if abs(value) > limit]
    dates = traces.dates_of(c.data.dates)
    bars = {
        "type": "bar", "x": dates, "y": rounded(left), "marker": {"color": "@model"},
        "name": "observed less modelled",
    }  # fmt: skip
    lagged = {
        "type": "bar", "x": lags.tolist(), "y": rounded(correlation), "xaxis": "x2", "yaxis": "y2",
        "marker": {"color": "@model"}, "width": 0.35, "name": "autocorrelation",
        "hovertemplate": f"%{{y:.2f}} at a lag of %{{x}} {c.period}s<extra></extra>",
    }  # fmt: skip
    limits = [
        {"type": "rect", "xref": "x2 domain", "yref": "y2", "x0": 0, "x1": 1,
         "y0": -float(limit), "y1": float(limit), "fillcolor": "@ink/0.12", "line": {"width": 0},
         "layer": "below"},
    ]  # fmt: skip
    reach = float(max(0.4, 1.1 * np.abs(correlation).max(initial=0.0)))
    layout = traces.layout(
        showlegend=False,
        hovermode="closest",
        xaxis={"anchor": "y"},
        yaxis={"domain": [0.56, 1.0], "title": {"text": f"{label(c.target)}"}},
        xaxis2={"anchor": "y2", "automargin": True, "title": {"text": f"lag in {c.period}s"}},
        yaxis2={
            "domain": [0.0, 0.36], "anchor": "x2", "automargin": True, "range": [-reach, reach],
            "title": {"text": "autocorrelation"}, "zeroline": True,
        },
        shapes=limits,
    )  # fmt: skip
    spread = float(left.std())
    said = f"at {'lags' if len(beyond) > 1 else 'lag'} {listing(beyond)}" if beyond else "at no lag"
    rows = tuple((str(lag), f"{v:.2f}") for lag, v in zip(lags, correlation, strict=True))
    return Chart(
        "residual-chart",
        "Residuals: the part that the model does not explain",
        f"Residuals have a standard deviation of {short(spread)} {c.target} per {c.period}. Their "
        f"autocorrelation leaves the range of chance {said}.",
        "Above: observed minus modelled. Below: the correlation of residuals so many "
        f"{c.period}s apart; 95% of bars stay in the grey range if nothing is left to explain"
        + (" (mean over geos)." if c.data.num_geos > 1 else ".")
        + " Waves above, or long bars below, point to a missing control, season or trend.",
        {"data": [bars, lagged], "layout": layout},
        Table("Autocorrelation of the residuals", (f"Lag ({c.period}s)", "Value"), rows),
        430,
    )


def _standardised(c: Context) -> NDArray:
    """Residuals (geo, date) in standard deviations of what the model expects of each cell."""
    drawn = c.replicated.transpose(..., "geo", "date").values
    # The mean of a thousand replications is off by a thirtieth of a standard deviation.
    centre, spread = drawn.mean((0, 1)), drawn.std((0, 1))
    return (c.data.ds["target"].values - centre) / np.maximum(spread, 1e-300)


def decomposition_section(c: Context) -> Section:
    """Show the parts that the target is made of."""
    return Section("decomposition", "What makes up " + c.target, (_over_time(c), _totals(c)))


def _parts(c: Context) -> list[tuple[str, str, NDArray]]:
    """Name, colour and draws (draw, date) of each part: baseline, controls, channels."""
    kinds = c.by_date["kind"].values
    stacked = c.by_date.stack(sample=DRAWS, create_index=False)
    draws = np.asarray(stacked.transpose("component", "sample", "date").values)
    found = [("baseline", "@baseline", draws[kinds == "baseline"].sum(0))]
    if (kinds == "control").any():
        found.append(("controls", "@controls", draws[kinds == "control"].sum(0)))
    places = np.flatnonzero(kinds == "media")
    for number, (place, name) in enumerate(zip(places, c.data.channels, strict=True)):
        found.append((name, f"@c{number}", draws[place]))
    if (kinds == "interaction").any():
        found.append(("channels together", "@faint", draws[kinds == "interaction"].sum(0)))
    return found


def _over_time(c: Context) -> Chart:
    labels, member, unit = _periods(c)
    data = []
    means = [(name, colour, draws.mean(0) @ member) for name, colour, draws in _parts(c)]
    for name, colour, mean in means:
        data.append({
            "type": "bar", "x": labels, "y": rounded(mean), "name": label(name),
            "marker": {"color": colour, "line": {"width": 0}},
        })  # fmt: skip
    seen = c.observed @ member
    data.append(traces.line(labels, seen, "@ink", "observed", line={"width": 1.5}))
    whole = sum(mean.sum() for _, _, mean in means)
    ground = means[0][2].sum()
    rows = tuple(
        (when, *(full(mean[i]) for _, _, mean in means), full(seen[i]))
        for i, when in enumerate(labels)
    )
    return Chart(
        "decomposition-chart",
        "Decomposition over time",
        f"Of the {short(whole)} {c.target} that the model expects in total, "
        f"{percent(ground / whole) if whole else 'n/a'} are baseline: trend, season and everything "
        "else that does not depend on media or controls.",
        "Every bar stacks the contributions (posterior means), with the baseline at the bottom. "
        "Parts below zero pull the target down: controls count from their mean, so they do both. "
        "A channel's part is the expected target minus the expected target with the channel "
        "off, carry-over included.",
        {
            "data": data,
            "layout": traces.layout(
                barmode="relative",
                bargap=0.02,
                yaxis={"title": {"text": f"{label(c.target)} per {unit}"}},
            ),
        },
        Table(
            f"Mean contributions per {unit}",
            (unit.capitalize(), *(name for name, _, _ in means), "observed"),
            rows,
        ),
        460,
    )


def _periods(c: Context) -> tuple[list[str], NDArray, str]:
    """Bars of the figure: their labels, and which dates (date, bar) go into each."""
    dates = c.data.dates
    if len(dates) <= _WEEKS_OF_BARS:
        return traces.dates_of(dates), np.eye(len(dates)), c.period
    months = np.array([f"{date:%Y-%m}-01" for date in dates])
    labels = list(dict.fromkeys(months))
    return labels, np.asarray(months[:, None] == np.array(labels), float), "month"


def _totals_alone(c: Context, found: list[Any], totals: NDArray) -> Chart:
    """Show totals where the target has both signs, so that its parts are no shares of it."""
    names = [name for name, _, _ in found]
    trace = traces.intervals(
        names, (totals[:, 0], totals[:, 1], totals[:, 2]), [colour for _, colour, _ in found],
        label(c.target), digits=",.4~s",
    )  # fmt: skip
    rows = tuple(
        (name, full(t[0]), between(full(t[1]), full(t[2])))
        for name, t in zip(names, totals, strict=True)
    )
    return Chart(
        "share-chart",
        "Totals of the whole window",
        f"There are no shares of {c.target}: it has both signs, or sums to 0, so that its parts "
        "can exceed the whole many times.",
        "Dots are medians, whiskers intervals.",
        {
            "data": [trace],
            "layout": traces.layout(
                showlegend=False,
                hovermode="closest",
                xaxis={"title": {"text": label(c.target)}, "zeroline": True},
                yaxis={"autorange": "reversed", "type": "category"},
            ),
        },
        Table(
            f"Contribution to {c.target} over the window, {c.window}",
            ("Part", "Median", c.interval),
            rows,
        ),
        120 + 34 * len(found),
    )


def _totals(c: Context) -> Chart:
    found = _parts(c)
    whole = sum(draws.sum(1) for _, _, draws in found)
    tail = 0.5 * (1.0 - c.ci_prob)
    levels = [0.5, tail, 1.0 - tail]
    totals = np.array([np.quantile(draws.sum(1), levels) for _, _, draws in found])
    shares = np.array([np.quantile(draws.sum(1) / whole, levels) for _, _, draws in found])
    names = [name for name, _, _ in found]
    if not bool(target_total(c.data).notnull()):
        return _totals_alone(c, found, totals)
    trace = traces.intervals(
        names, (shares[:, 0], shares[:, 1], shares[:, 2]), [colour for _, colour, _ in found],
        "share", digits=".1%",
    )  # fmt: skip
    rows = tuple(
        (name, full(t[0]), between(full(t[1]), full(t[2])), percent(s[0]),
         between(percent(s[1]), percent(s[2])))
        for name, t, s in zip(names, totals, shares, strict=True)
    )  # fmt: skip
    media = [i for i, (name, _, _) in enumerate(found) if name in c.data.channels]
    best = max(media, key=lambda i: shares[i, 0]) if media else 0
    return Chart(
        "share-chart",
        "Shares of the whole window",
        (f"The largest channel is {names[best]} with {percent(shares[best, 0])} of {c.target} "
         f"({between(percent(shares[best, 1]), percent(shares[best, 2]))}, {c.interval}). "
         if media else "")
        + f"All media together: {percent(float(np.median(c.all_media / float(sum(c.observed)))))}.",
        "Dots are medians, whiskers intervals. Shares are of the expected target and add up to "
        "100%; the intervals of single channels are wider than that of all media together, since "
        "channels that ran at the same time are hard to tell apart.",
        {
            "data": [trace],
            "layout": traces.layout(
                showlegend=False,
                hovermode="closest",
                xaxis={"tickformat": ".0%", "title": {"text": f"share of {label(c.target)}"},
                       "zeroline": True},
                yaxis={"autorange": "reversed", "type": "category"},
            ),
        },
        Table(
            f"Contribution to {c.target} over the window, {c.window}",
            ("Part", "Median", c.interval, "Share", c.interval),
            rows,
        ),
        120 + 34 * len(found),
    )  # fmt: skip
