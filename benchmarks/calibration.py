"""One geo experiment among strongly correlated channels: what it does to the channel's ROAS.

Every world has 6 geos, 80 weeks and three channels whose log spends correlate about 0.95, with long
carry-over (geometric, alpha 0.8, over 10 weeks). In half of the geos the first channel is off, for
six weeks with the outcome followed for four more ("followed"), or for two weeks whose outcome alone
is measured ("short"); the lift has an error of a tenth. Fitted are the table of a world in which no
test was run, and the one with the test's weeks in it (which tell something by themselves): without
the test in the likelihood; with it in the likelihood as the counterfactual over its dates and geos;
with a steady-state likelihood, whose lift is the response curve's, as though spend had always been
at each date's level (no carry-over, the reading of a lift test that looks at the curve alone); with
the test's return on its change of spend as the prior of the channel's ROAS. Compared are absolute
errors of the posterior median of ROAS, and how often 90% intervals hold the truth. Worlds are kept
as JSON lines: an interrupted run goes on.
"""

from __future__ import annotations

import itertools
import json
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
import record

import mmm_bayes as mb
from mmm_bayes import simulate
from mmm_bayes.model.structure import ModelArrays
from mmm_bayes.simulate.lift_tests import SimulatedLift

# Keys 0-29 served development; 3000-3029 and 4000-4025 were looked at before the first way was
# added, and before cuts to nothing were spread as other geos spent.
FIRST_SEED = 5000
LEVEL = 0.9
MAX_LAG = 10
WAYS = {
    "untested": "no experiment run",
    "none": "run, not in the likelihood",
    "calibrated": "counterfactual over dates and geos",
    "steady": "steady-state curve",
    "prior": "test's return as prior of ROAS",
}
SAMPLER = {"num_warmup": 300, "num_samples": 300, "num_chains": 2}


DESIGNS = {"followed": (56, 61, 65), "short": (56, 57, 57)}


def world(seed: int, design: str) -> tuple[mb.simulate.SimulatedMMM, SimulatedLift]:
    """Simulate a world without a test, and with one."""
    first, last, until = DESIGNS[design]
    key_world, key_test = jax.random.split(jax.random.key(seed))
    simulated = mb.simulate.mmm(
        key_world, num_dates=80, num_geos=6, num_channels=3, num_controls=1, correlation=0.95,
        max_lag=MAX_LAG, parameters={"alpha": 0.8},
    )  # fmt: skip
    dates, geos = simulated.data.dates, simulated.data.geos
    return simulated, simulate.lift_test(
        key_test, simulated, simulated.data.channels[0],
        start=dates[first], end=dates[last], measured_until=dates[until], geos=geos[::2],
        factor=0.0, relative_error=0.1,
    )  # fmt: skip


def specification(**channels: Any) -> mb.ModelSpec:
    """Return a specification with stated season, lags and shared trends, and default priors."""
    return mb.ModelSpec(
        seasonality=[{"period": "year", "order": 2}],
        media={"max_lag": MAX_LAG},
        channels=channels,
        sampler=SAMPLER,
    )


def steady(arrays: ModelArrays) -> ModelArrays:
    """Return the same tests with every lag at the exposure of its own date."""
    given = arrays.experiments
    now = np.broadcast_to(given.media[..., :1, :], given.media.shape)
    return arrays._replace(experiments=given._replace(media=np.ascontiguousarray(now)))


def model(way: str, plain: mb.simulate.SimulatedMMM, found: SimulatedLift) -> mb.MMM:
    """Return the model of one way of using the test."""
    test = found.test
    if way == "untested":
        return mb.MMM(plain.data, specification())
    if way == "none":
        return mb.MMM(found.data, specification())
    if way == "prior":
        roas = test.lift / test.spend_change
        spread = test.standard_error / abs(test.lift)
        prior = mb.PriorSpec(dist="log_normal", loc=float(np.log(max(roas, 0.01))), scale=spread)
        own = {"effect": "roas", "priors": {"roas": prior}}
        return mb.MMM(found.data, specification(**{test.channel: own}))
    own = mb.MMM(found.data, specification(), lift_tests=[test])
    if way == "steady":
        arrays = steady(own.arrays())
        own.arrays = lambda: arrays
    return own


def one_world(seed: int, design: str) -> dict[str, Any]:
    """Fit a world every way."""
    plain, found = world(seed, design)
    channel = found.test.channel
    row: dict[str, Any] = {"seed": seed, "design": design, "ways": {}}
    for way in WAYS if design == "followed" else ("none", "calibrated", "steady"):
        truth = (plain if way == "untested" else found).truth["roas"].values
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = model(way, plain, found).fit(
                jax.random.key(seed), progress=False, num_prior_draws=0
            )
        draws = fit.roas().sel(channel=channel).values.ravel()
        low, median, high = np.quantile(draws, [0.5 - LEVEL / 2, 0.5, 0.5 + LEVEL / 2])
        others = fit.roas().median(("chain", "draw")).values[1:]
        row["ways"][way] = {
            "true": float(truth[0]),
            "median": float(median), "low": float(low), "high": float(high),
            "others": np.abs(others - truth[1:]).tolist(),
            "divergences": int(fit.tree["sample_stats"]["diverging"].sum()),
            "seconds": time.perf_counter() - began,
        }  # fmt: skip
    return row


def run(seeds: range, folder: Path) -> list[dict[str, Any]]:
    """Run all worlds, except those whose results are already there."""
    store = folder / "calibration.jsonl"
    rows = []
    if store.exists():
        rows = [json.loads(line) for line in store.read_text(encoding="utf-8").splitlines()]
    done = {(row["seed"], row["design"]) for row in rows}
    for seed, design in itertools.product(seeds, DESIGNS):
        if (seed, design) in done:
            continue
        rows.append(one_world(seed, design))
        with store.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        ways = rows[-1]["ways"]
        shown = ", ".join(f"{w} {ways[w]['median']:.2f}" for w in ways)
        print(f"{seed} {design}: true {ways['none']['true']:.2f}; {shown}", flush=True)
    return [row for row in rows if row["seed"] in seeds]


def summary(rows: list[dict[str, Any]]) -> list[list[Any]]:
    """Return one line per method."""
    lines = []
    base = None
    for way, label in WAYS.items():
        if way not in rows[0]["ways"]:
            continue
        ways = [row["ways"][way] for row in rows]
        names = ("true", "low", "median", "high")
        true, low, median, high = (np.array([own[n] for own in ways]) for n in names)
        error = np.abs(median - true)
        base = error if base is None else base
        inside = float(((low <= true) & (true <= high)).mean())
        others = float(np.mean([own["others"] for own in ways]))
        lines.append(
            [label, float(error.mean()), float(error.mean() / base.mean()),
             float((error < base).mean()), inside, float(np.mean(high - low)), others,
             sum(own["divergences"] for own in ways),
             float(np.median([own["seconds"] for own in ways]))]
        )  # fmt: skip
    return lines


def main() -> None:
    """Run the study and print the table."""
    parser = record.parser(__doc__ or "")
    parser.add_argument("--worlds", type=int, default=30)
    parser.add_argument("--first", type=int, default=FIRST_SEED)
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    rows = run(range(given.first, given.first + given.worlds), given.out)
    header = [
        "experiment", "mean abs. error of ROAS", "over first", "share of worlds better",
        "90% interval holds", "width", "error of other channels", "divergences", "median seconds",
    ]  # fmt: skip
    text = f"{given.worlds} worlds, keys {given.first} to {given.first + given.worlds - 1}."
    parts = [" ".join((__doc__ or "").split()), text]
    for design, (first, last, until) in DESIGNS.items():
        own = [row for row in rows if row["design"] == design]
        before = {row["seed"]: row["ways"]["untested"] for row in rows if "untested" in row["ways"]}
        own = [row | {"ways": {"untested": before[row["seed"]]} | row["ways"]} for row in own]
        weeks = f"{last - first + 1} weeks, measured over {until - first + 1}"
        parts += [f"## {design}: {weeks}", record.table(header, summary(own))]
    record.publish("calibration", "Calibration by one geo experiment", parts, given.write)


if __name__ == "__main__":
    main()
