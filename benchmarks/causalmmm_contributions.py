"""What CausalMMM says each node brought to a shop's sales, against the simulated truth.

Panels of 20 shops over 365 days (`simulate.air_shops`); contributions by do() as shares of a shop's
sales, every node of every shop. Beside CausalMMM, with and without logarithms, stand a ridge
regression of each shop's log sales on the lags of all nodes (its penalty by cross-validation; no
graph, so effects through other nodes are not seen), and the answer "nothing".
"""

from __future__ import annotations

import jax
import numpy as np
import pandas as pd
import record
from sklearn.linear_model import RidgeCV

import mmm_bayes as mb
from mmm_bayes.data.panel import ShopPanel

SETTINGS = {"num_lags": 4, "edge_probability": 0.1}
SIZE = {"num_shops": 20, "num_dates": 365}


def regression(panel: ShopPanel) -> np.ndarray:
    """Return shares of sales (shop, node) by a ridge regression per shop."""
    lags, found = SETTINGS["num_lags"], []
    for series, context in zip(panel.series, panel.context, strict=True):
        sales, mean = series[lags:, -1], series.mean(0)
        logs = np.log1p(series / np.where(mean > 0, mean, 1.0))
        past = np.stack([logs[lags - k : len(logs) - k] for k in range(1, lags + 1)], axis=2)
        rows = np.concatenate([past.reshape(len(sales), -1), context[lags:]], axis=1)
        spread = rows.std(0)
        spread[spread == 0] = 1.0
        fit = RidgeCV(np.logspace(-1, 4, 11)).fit(rows / spread, logs[lags:, -1])
        slope = (fit.coef_ / spread)[: past[0].size].reshape(past.shape[1:])
        moved = np.einsum("til,il->ti", past, slope)  # of log sales, by each node
        found.append((sales[:, None] * -np.expm1(-moved)).sum(0)[:-1] / sales.sum())
    return np.array(found)


def causal_mmm(panel: ShopPanel, logarithm: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean, low and high shares of sales (shop, node) of a CausalMMM."""
    cm = mb.CausalMMM(**SETTINGS, logarithm=logarithm).fit(jax.random.key(1), panel)
    each = [cm.contributions(shop) for shop in panel.shops]
    sales = panel.series[..., -1].sum(1)[:, None]
    return tuple(np.stack([one[name] for one in each]) / sales for name in ("mean", "low", "high"))  # type: ignore[return-value]


def measures(truth: np.ndarray, mean: np.ndarray, *ends: np.ndarray) -> dict[str, float]:
    """Return the scores of one method on one panel, and of its intervals if they are given."""
    acting = truth > 0
    found = {"error": np.abs(mean - truth).mean(), "bias": (mean - truth)[acting].mean()}
    if mean.any():
        found["correlation"] = np.corrcoef(mean[acting], truth[acting])[0, 1]
    if ends:
        low, high = ends
        found["held"] = ((low <= truth) & (truth <= high))[acting].mean()
        found["width"] = (high - low)[acting].mean()
    return found


def main() -> None:
    """Run all panels, print, and keep."""
    options = record.parser("CausalMMM: contributions against the truth.")
    options.add_argument("--panels", type=int, default=5)
    options.add_argument("--seed", type=int, default=100, help="key of the first panel")
    given = options.parse_args()
    rows = []
    for seed in range(given.seed, given.seed + given.panels):
        panel = mb.simulate.air_shops(jax.random.key(seed), **SIZE)
        brought = mb.simulate.air_contributions(jax.random.key(seed), **SIZE)
        truth = brought / panel.series[..., -1].sum(1)[:, None]
        answers = {
            "nothing": (0.0 * truth,),
            "ridge regression per shop": (regression(panel),),
            "`CausalMMM()`": causal_mmm(panel, False),
            "`CausalMMM(logarithm=True)`": causal_mmm(panel, True),
        }
        rows += [{"method": name} | measures(truth, *each) for name, each in answers.items()]
    frame = pd.DataFrame(rows).groupby("method", sort=False)
    mean, sd = frame.mean(), frame.std()

    def shown(name: str, column: str) -> str:
        value, spread = mean.loc[name, column], sd.loc[name, column]
        return "" if np.isnan(value) else f"{value:.3f} ± {spread:.3f}"

    header = [
        "method", "mean absolute error", "bias, acting nodes", "correlation, acting nodes",
        "90% intervals hold, acting nodes", "their width",
    ]  # fmt: skip
    columns = ("error", "bias", "correlation", "held", "width")
    table = [[name, *(shown(name, column) for column in columns)] for name in mean.index]
    about = (
        f"{given.panels} panels of {SIZE['shops']} shops and {SIZE['length']} days "
        f"(keys {given.seed} to {given.seed + given.panels - 1}); shares of a shop's sales, mean "
        "and standard deviation over panels. A node acts if its true contribution is not zero."
    )
    title = "CausalMMM: contributions against the truth"
    record.publish(
        "causalmmm_contributions", title, [about, record.table(header, table)], given.write
    )


if __name__ == "__main__":
    main()
