"""Return on ad spend of the mmm-framework table: the graph's adjustment set against two habits.

The table's authors publish contributions and the role of every control: 2 confounders, 4 causes of
sales alone, 6 that do nothing, and brand awareness, which TV and video move and which moves sales.
The graph is written from these roles, and nothing else of the truth is used.
"""

from __future__ import annotations

import json
import time
import warnings
from typing import Any

import jax
import numpy as np
import record
import shared_tables
from scipy import stats

import mmm_bayes as mb
from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.causal.effects.design import chosen_adjustment, read_source, transforms_for
from mmm_bayes.causal.effects.effects import average_treatment_effect, effects_table
from mmm_bayes.causal.effects.estimation import robust_error

TABLE = "mmmframework_national_mff"
CHANNELS = ("TV", "Search", "Social", "Display", "Video", "Radio", "Print")
MEDIATED = ("TV", "Video")
# Bought together week by week (their correlation is printed): only their sum can be told.
PAIR = ("Radio", "Print")
TOGETHER = "Radio + Print"
LEVEL = 0.9


Found = dict[str, tuple[float, float, float]]


def roles() -> dict[str, str]:
    """Return the role of every control, as the authors publish them."""
    path = shared_tables.folder() / "mmmframework_national_truth.json"
    return json.loads(path.read_text())["notes"]["roles"]


def right_graph() -> CausalGraph:
    """Write the graph from the published roles."""
    parts = roles()
    of = {role: [name for name, own in parts.items() if own == role] for role in parts.values()}
    mediator = of["mediator"][0]
    edges = [(name, channel) for name in of["confounder"] for channel in CHANNELS]
    edges += [(name, "Sales") for name in (*of["confounder"], *of["precision"], *CHANNELS)]
    edges += [(channel, mediator) for channel in MEDIATED] + [(mediator, "Sales")]
    kinds: dict[str, Any] = {name: "channel" for name in CHANNELS}
    kinds |= {name: "control" for name in parts} | {mediator: "mediator", "Sales": "target"}
    return CausalGraph([*parts, *CHANNELS, "Sales"], edges, roles=kinds)


def control_sets(graph: CausalGraph) -> dict[str, list[str]]:
    """Return the controls of each method; the graph's are those of the total effects."""
    wanted = {
        name for channel in CHANNELS for name in chosen_adjustment(graph, channel, "Sales", "total")
    }
    # A joint model of all channels adjusts for the same controls in each: what one channel's total
    # effect must not be adjusted for (its mediator) stays out of all.
    barred = {v for channel in CHANNELS for v in graph.descendants(channel)}
    order = [name for name in graph.nodes if name not in CHANNELS and name != "Sales"]
    return {
        "graph": [name for name in order if name in wanted - barred],
        "all controls": order,
        "no controls": [],
    }


def data_with(controls: list[str]) -> mb.MMMData:
    """Return the table with some of its controls."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mb.errors.DataWarning)
        return shared_tables.load(TABLE, controls=controls)


def by_regression(
    data: mb.MMMData, graph: CausalGraph, controls: list[str], transform: Any, seed: int
) -> Found:
    """Estimate ROAS by channel by linear regression on carried-over, saturated media."""
    used = graph.subgraph([*controls, *CHANNELS, "Sales"])
    estimates = {}
    for channel in CHANNELS:
        others = [name for name in CHANNELS if name != channel]
        with warnings.catch_warnings():
            # Two of the three ways are wrong on purpose.
            warnings.simplefilter("ignore", mb.errors.DataWarning)
            estimates[channel] = average_treatment_effect(
                jax.random.key(seed), data, used, channel, "Sales", transform=transform,
                adjustment=[*controls, *others], ci_prob=LEVEL,
            )  # fmt: skip
    found = {channel: (own.roas, *own.roas_interval) for channel, own in estimates.items()}
    one, other = (estimates[name] for name in PAIR)
    error, dof = robust_error(one.influence + other.influence, one.design, one.fitted.dof)
    reach = float(stats.t.ppf(0.5 + 0.5 * LEVEL, dof)) * error
    spent = float(one.amount.sum() + other.amount.sum())
    value = one.value + other.value
    found[TOGETHER] = (value / spent, (value - reach) / spent, (value + reach) / spent)
    return found


def searched(data: mb.MMMData, graph: CausalGraph, controls: list[str]) -> Any:
    """Choose transforms with one set of controls."""
    used = graph.subgraph([*controls, *CHANNELS, "Sales"])
    source = read_source(data, used, used.nodes)
    return transforms_for(source, "Sales", CHANNELS, controls, "search")


def by_model(data: mb.MMMData, given: Any) -> tuple[Found, dict[str, dict[str, float]], str]:
    """Estimate ROAS by channel by the Bayesian model; also return its medians and verdict."""
    spec = mb.ModelSpec(seasonality=[{"period": "year", "order": 2}])
    fit = mb.MMM(data, spec).fit(
        jax.random.key(given.seed), progress=False, num_warmup=given.warmup,
        num_samples=given.samples,
    )  # fmt: skip
    tail = 0.5 * (1.0 - LEVEL)
    roas, spend = fit.roas(), data.ds["spend"].sum(("geo", "date"))
    pair = (roas * spend).sel(channel=list(PAIR)).sum("channel")
    draws = {channel: roas.sel(channel=channel) for channel in CHANNELS}
    draws[TOGETHER] = pair / float(spend.sel(channel=list(PAIR)).sum())
    found = {
        name: tuple(float(x) for x in own.quantile([0.5, tail, 1.0 - tail], ("chain", "draw")))
        for name, own in draws.items()
    }
    posterior = fit.tree["posterior"].to_dataset()
    medians = {
        channel: {
            name: float(posterior[name].sel(channel=channel).median())
            for name in ("alpha", "ec", "slope")
        }
        for channel in CHANNELS
    }
    return found, medians, fit.diagnose().verdict  # type: ignore[return-value]


def errors(found: Found, true: dict[str, float]) -> dict[str, Any]:
    """Return mean absolute errors, overall and by group, and how many truths intervals cover."""
    apart = [name for name in (*CHANNELS, TOGETHER) if name not in PAIR]
    rest = [name for name in apart if name not in MEDIATED]
    own = {name: abs(found[name][0] - true[name]) for name in (*CHANNELS, TOGETHER)}
    return {
        "apart": float(np.mean([own[name] for name in apart])),
        "mediated": float(np.mean([own[name] for name in MEDIATED])),
        "rest": float(np.mean([own[name] for name in rest])),
        "all": float(np.mean([own[name] for name in CHANNELS])),
        "relative": float(np.mean([own[name] / true[name] for name in apart])),
        "held": f"{sum(found[v][1] <= true[v] <= found[v][2] for v in apart)} of {len(apart)}",
    }


def main() -> None:
    """Estimate in every way and print errors side by side."""
    options = record.parser("ROAS with the graph's adjustment set, all controls, no controls.")
    options.add_argument("--warmup", type=int, default=1000)
    options.add_argument("--samples", type=int, default=1000)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    record.require_tables()
    began = time.perf_counter()
    graph = right_graph()
    truth = shared_tables.truth(TABLE)
    assert truth is not None
    true = {c: float(truth["roas"].sel(channel=c)) for c in CHANNELS}
    both = truth.sel(channel=list(PAIR))
    true[TOGETHER] = float(both["contribution"].sum() / (both["contribution"] / both["roas"]).sum())
    results: dict[tuple[str, str], Found] = {}
    verdicts = {}
    for way, controls in control_sets(graph).items():
        data = data_with(controls)
        model, medians, verdict = by_model(data, given)
        verdicts[way] = verdict
        results["Bayesian MMM", way] = model
        results["regression, transforms of the MMM", way] = by_regression(
            data, graph, controls, medians, given.seed
        )
        results["regression, transforms searched", way] = by_regression(
            data, graph, controls, searched(data, graph, controls), given.seed
        )
        print(f"{way}: done after {time.perf_counter() - began:.0f} s", flush=True)
    record.publish(
        "effects_national", "ROAS with the graph's adjustment set", report(
            graph, results, true, verdicts, given
        ), given.write,
    )  # fmt: skip


def report(
    graph: CausalGraph,
    results: dict[tuple[str, str], Found],
    true: dict[str, float],
    verdicts: dict[str, str],
    given: Any,
) -> list[str]:
    """Return tables of errors, channels, and parts of the mediated channels."""
    rows = []
    for (method, way), found in results.items():
        own = errors(found, true)
        figures = [own[key] for key in ("apart", "mediated", "rest")]
        rows.append([method, way, *figures, f"{own['relative']:.0%}", own["held"], own["all"]])
    header = ["method", "controls", "mean absolute error of ROAS", "TV and Video", "others"]
    header += ["relative", "truth within 90% interval", "error with Radio and Print apart"]
    overview = record.table(header, rows)
    channel_rows = [
        [f"{channel}, {method}", true[channel]]
        + [_cell(results[method, way][channel]) for way in ("graph", "all controls", "no controls")]
        for method in dict.fromkeys(method for method, _ in results)
        for channel in (*CHANNELS, TOGETHER)
    ]
    channels = record.table(
        ["channel, method", "truth", "graph", "all controls", "no controls"], channel_rows
    )
    sets = control_sets(graph)
    return [
        "The national table of mmm-framework: 104 weeks, 7 channels, 13 controls. The graph is "
        "written from the published roles: confounders cause every channel and sales, TV and "
        "Video reach sales directly and through brand awareness. It adjusts for "
        f"{', '.join(sets['graph'])} and the other channels; brand awareness stays out, "
        "because TV and Video act through it. ROAS is the published contribution over the table's "
        "spend.",
        overview,
        f"Verdicts of the MMM: {', '.join(f'{way}: {v}' for way, v in verdicts.items())}. "
        f"4 chains of {given.warmup} + {given.samples}; yearly season of order 2, defaults. The "
        "regression has no season and takes media as carried over and saturated: by the MMM's "
        "posterior medians (with the same controls), or by a search; its intervals are those "
        f"given the transforms. Radio and Print have a correlation of {_pair_correlation():.4f}: "
        "errors are over five channels and these two together.",
        channels,
        _mediation(graph, given),
    ]


def _mediation(graph: CausalGraph, given: Any) -> str:
    """Return the effects of the channels that act through brand awareness."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mb.errors.DataWarning)
        data = shared_tables.load(TABLE, controls=list(roles()))
    transform = searched(data, graph, control_sets(graph)["graph"])
    found = effects_table(
        jax.random.key(given.seed), data, graph, MEDIATED, "Sales", transform=transform,
        ci_prob=LEVEL,
    )  # fmt: skip
    rows = [
        [own.treatment, own.effect, _cell((own.roas, *own.roas_interval))]
        for own in found.estimates
    ]
    return (
        "Parts of the mediated channels, by regression (transforms searched), as revenue per unit "
        "of spend:\n\n" + record.table(["channel", "effect", "ROAS"], rows)
    )


def _pair_correlation() -> float:
    exposure = data_with([]).ds["exposure"].sel(channel=list(PAIR)).values[0]
    return float(np.corrcoef(exposure.T)[0, 1])


def _cell(found: tuple[float, float, float]) -> str:
    return "{:.2f} ({:.2f}, {:.2f})".format(*found)


if __name__ == "__main__":
    main()
