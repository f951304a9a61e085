"""Comparison of models: how well each predicts, and the ROAS each finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Unpack, final, get_args

import numpy as np
import pandas as pd

from mmm_bayes._typing import RngKey
from mmm_bayes.analysis import contributions as parts
from mmm_bayes.data.lift_tests import LiftTest
from mmm_bayes.data.schema import MMMData
from mmm_bayes.fit import MMM, with_sampler
from mmm_bayes.inference.settings import SamplerSettings, given
from mmm_bayes.model.checks import ModelDataError
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.spec import ModelSpec
from mmm_bayes.runtime.choices import refuse_ignored
from mmm_bayes.runtime.deprecation import named_arguments, renamed, rng_key_first, spelled_out
from mmm_bayes.runtime.findings import DataError, Finding, listing
from mmm_bayes.runtime.report import Report, table_as_html, text_as_html
from mmm_bayes.runtime.streams import as_key
from mmm_bayes.validation.cross_validation import (
    PARETO_K,
    _quiet,
    full_fit,
    k_fold,
    leave_future_out,
    leave_one_out,
)
from mmm_bayes.validation.refit import divergent_draws, worst_rhat
from mmm_bayes.validation.rolling import rolling_origin
from mmm_bayes.validation.rolling_result import RollingOrigin

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Criterion = Literal["lfo", "kfold", "loo", "rolling"]

_RHAT = 1.05
_SAME = 4.0  # elpd differences below this are not reliable (Sivula et al. 2025)
_MEANING = {
    "lfo": "one-step-ahead densities of the last third of the dates (leave-future-out)",
    "kfold": "densities of held-out blocks of dates (10-fold)",
    "loo": "densities of single rows left out (PSIS-LOO): optimistic for time series",
    "rolling": "forecasts from rolling origins",
}


@final
@dataclass(frozen=True, eq=False, repr=False)
class ModelComparison(Report):
    """Models ranked by predictive performance.

    Attributes
    ----------
    table
        One row per model, best first. For a density criterion: ``elpd``, its difference
        ``elpd_diff`` from the best model and that difference's standard error ``dse``, stacking
        ``weight``, effective number of parameters ``p``, and ``high_k``, the number of Pareto k
        above 0.7. For ``"rolling"``: ``crps``, ``crps_diff``, ``dse``, ``mape``, ``coverage_90``.
        Always ``rhat``, the number of ``divergent`` draws and ``note``.
    roas
        One row per model and channel, with ``median``, ``lower`` and ``upper`` of the ROAS.
    criterion
        The criterion of the comparison.
    details
        By model: ArviZ's ``ELPDData``, or a ``RollingOrigin``.
    """

    table: pd.DataFrame
    roas: pd.DataFrame
    criterion: Criterion
    details: Mapping[str, Any]

    @property
    def best(self) -> str:
        """Name of the best model."""
        return str(self.table.index[0])

    @property
    def notes(self) -> tuple[str, ...]:
        """The result in words."""
        table = self.table
        found = [f"Compared by {_MEANING[self.criterion]}."]
        score = "crps" if self.criterion == "rolling" else "elpd"
        difference, error = table[f"{score}_diff"].abs(), table["dse"]
        close = [str(n) for n in table.index[1:] if difference[n] < 2.0 * error[n]]
        if score == "elpd":
            alike = [n for n in table.index[1:] if difference[n] < _SAME]
            close = sorted({*close, *map(str, alike)}, key=list(table.index).index)
        if close:
            found.append(
                f"Not clearly different from {self.best!r} (difference below two standard "
                f"errors{', or below 4' if score == 'elpd' else ''}): "
                f"{listing(map(repr, close), 8)}."
            )
        spread = self.roas["median"].unstack("channel") if len(self.roas) else pd.DataFrame()
        if len(spread) > 1:
            ratio = spread.max() / spread.min().where(spread.min() > 0)
            if ratio.notna().any():
                channel = str(ratio.idxmax())
                found.append(
                    f"The choice of model matters most for the ROAS of {channel!r}: "
                    f"{spread[channel].min():.2f} to {spread[channel].max():.2f}."
                )
        return tuple(found)

    def plot(self) -> Figure:
        """Plot scores and ROAS by model (:func:`~mmm_bayes.present.plots.plot_comparison`)."""
        from mmm_bayes.present.plots.validation import plot_comparison

        return plot_comparison(self.table, self.roas, criterion=self.criterion)

    def __str__(self) -> str:
        return "\n".join([f"{self.summary()}", *self.notes])

    def to_frame(self) -> pd.DataFrame:
        """Return the table of models."""
        return self.table

    @property
    def findings(self) -> tuple[Finding, ...]:
        """A warning for every model whose fit is doubtful, and the notes."""
        doubtful = [
            Finding("model", "warning", f"{name}: {note}.", where=str(name))
            for name, note in self.table["note"].items()
            if note
        ]
        return (*doubtful, *(Finding("comparison", "note", note) for note in self.notes))

    def _repr_html_(self) -> str:
        return table_as_html(self.table) + text_as_html("\n".join(self.notes))


@named_arguments
def model_grid(
    spec: ModelSpec,
    *,
    adstock: str | Sequence[str] | None = None,
    saturation: str | Sequence[str] | None = None,
) -> dict[str, ModelSpec]:
    """Build one specification per pair of adstock and saturation.

    Transforms set for single channels are kept.

    Parameters
    ----------
    spec
        The specification to vary.
    adstock, saturation
        Names of transforms; by default those of ``spec``.

    Returns
    -------
    dict
        Specifications by name, such as ``"geometric, hill"``.
    """
    found = {}
    kernels = _chosen(adstock, spec.media.adstock)
    curves = _chosen(saturation, spec.media.saturation)
    for kernel in kernels:
        for curve in curves:
            values = spec.media.model_dump() | {"adstock": kernel, "saturation": curve}
            name = f"{kernel}, {curve}"
            found[name] = spec.evolve(media=values, name=name)
    return found


def _chosen(names: str | Sequence[str] | None, own: str) -> list[str]:
    """Return the names given, one or several, or the specification's own."""
    return [own] if names is None else [names] if isinstance(names, str) else list(names)


@rng_key_first(position=2)
@renamed(k="num_folds", folds="num_folds")
@spelled_out(SamplerSettings)
def compare_models(
    rng_key: RngKey,
    data: MMMData,
    specs: Mapping[str, ModelSpec],
    *,
    criterion: Criterion = "lfo",
    min_train: int | None = None,
    horizon: int | None = None,
    num_folds: int | None = None,
    lift_tests: Sequence[LiftTest] = (),
    ci_prob: float = 0.9,
    on_model: Callable[[int, int, str], None] | None = None,
    **settings: Unpack[SamplerSettings],
) -> ModelComparison:
    r"""Fit several models to a table, and compare how they predict.

    Parameters
    ----------
    rng_key
        Random key, or an integer seed.
    data
        The table.
    specs
        Two models or more, by name; see :func:`model_grid`.
    criterion
        ``"lfo"``, the default: densities one date ahead of fits to the past. ``"kfold"``: densities
        of held-out blocks of dates. ``"loo"`` needs only one fit per model, but the neighbours of
        the held-out date stay in the fit: it favours models that follow the series closely, and
        says little about forecasts. ``"rolling"``: CRPS of forecasts ``horizon`` dates ahead.
    min_train, horizon
        First origin and number of dates ahead; require ``"lfo"`` or ``"rolling"``.
    num_folds
        Number of folds of ``"kfold"`` (by default 10), or of origins of ``"rolling"`` (by
        default 5).
    lift_tests
        Experiments that all models are calibrated with.
    ci_prob
        Mass of the intervals of ROAS.
    on_model
        Told how many of how many models are finished, and the name.
    num_warmup, num_samples, num_chains, target_accept, max_tree_depth, chain_method, precision, \
block
        Settings of the sampler, the same for all models; by default those of each specification.

    Returns
    -------
    ModelComparison

    Raises
    ------
    DataError
        With every model that does not fit the table.
    """
    rng_key = as_key(rng_key)
    _check(data, specs, criterion, lift_tests)
    ahead, folds = ("lfo", "rolling"), ("kfold", "rolling")
    refuse_ignored(
        "criterion",
        criterion,
        {
            "min_train": (min_train, ahead),
            "horizon": (horizon, ahead),
            "num_folds": (num_folds, folds),
        },
    )
    details: dict[str, Any] = {}
    rows, roas = {}, {}
    for number, (name, own) in enumerate(specs.items()):
        spec = with_sampler(own, given(settings))
        model = MMM(data, spec, lift_tests=lift_tests)
        whole = full_fit(rng_key, spec, data, model.lift_tests)
        if criterion == "lfo":
            found = leave_future_out(
                rng_key, model, min_train=min_train, horizon=horizon or 1, full=whole
            )
        elif criterion == "kfold":
            found = k_fold(rng_key, model, num_folds=num_folds or 10, full=whole)
        elif criterion == "loo":
            found = leave_one_out(whole)
        else:
            found = rolling_origin(
                rng_key, model, num_folds=num_folds or 5, horizon=horizon, min_train=min_train
            )
        details[name] = found
        rows[name] = {"rhat": worst_rhat(whole), "divergent": divergent_draws(whole)}
        roas[name] = _roas(whole, ci_prob)
        if on_model is not None:
            on_model(number + 1, len(specs), name)
    scored = _rolling_table(details) if criterion == "rolling" else _density_table(details)
    table = scored.join(pd.DataFrame.from_dict(rows, orient="index"))
    table["note"] = [_note(row) for _, row in table.iterrows()]
    returns = pd.concat({n: roas[n] for n in table.index}, names=["model"])
    return ModelComparison(table.rename_axis("model"), returns, criterion, details)


def _check(
    data: MMMData, specs: Mapping[str, ModelSpec], criterion: str, tests: Sequence[LiftTest]
) -> None:
    found = []
    if criterion not in get_args(Criterion):
        text = f"criterion should be one of {', '.join(get_args(Criterion))}, "
        text += f"but got {criterion!r}."
        found.append(Finding("criterion", "error", text, ""))
    if len(specs) < 2:
        text = f"A comparison needs at least two models, but got {len(specs)}."
        remedy = "model_grid(spec) makes models with other transforms."
        found.append(Finding("specs", "error", text, remedy))
    for name, spec in specs.items():
        try:
            MMM(data, spec, lift_tests=tests)
        except ModelDataError as error:
            found.append(Finding("model", "error", f"Model {name!r}: {error}", ""))
    if found:
        raise DataError(found, "the comparison")


def _roas(fitted: Fitted, ci_prob: float) -> pd.DataFrame:
    tail = 0.5 * (1.0 - ci_prob)
    q = parts.roas(fitted, max_draws=1000).quantile([tail, 0.5, 1.0 - tail], ("chain", "draw"))
    values = dict(zip(("lower", "median", "upper"), q.values, strict=True))
    frame = pd.DataFrame(values, index=pd.Index(fitted.data.channels, name="channel"))
    return frame[["median", "lower", "upper"]].dropna()


def _density_table(details: Mapping[str, Any]) -> pd.DataFrame:
    from arviz import compare

    with _quiet():
        table = compare(dict(details), method="stacking", round_to="none")
    ks = {name: found.pareto_k for name, found in details.items()}
    table["high_k"] = [
        0 if ks[name] is None else int((np.asarray(ks[name]) > PARETO_K).sum())
        for name in table.index
    ]
    return table[["elpd", "se", "elpd_diff", "dse", "weight", "p", "high_k"]].astype(
        {"elpd": float, "se": float, "elpd_diff": float, "dse": float, "weight": float}
    )


def _rolling_table(details: Mapping[str, RollingOrigin]) -> pd.DataFrame:
    """Tabulate mean CRPS by model; standard errors of differences are over the folds."""
    by_fold = pd.DataFrame({n: r.table.groupby("fold")["crps"].mean() for n, r in details.items()})
    order = by_fold.mean().sort_values()
    gaps = by_fold.sub(by_fold[order.index[0]], axis=0)
    averages = {n: details[n].summary().iloc[0] for n in order.index}
    return pd.DataFrame(
        {
            "crps": order,
            "crps_diff": gaps.mean()[order.index],
            "dse": (gaps.std(ddof=1) / np.sqrt(len(gaps)))[order.index],
            "mape": {n: s["mape"] for n, s in averages.items()},
            "skill": {n: s["skill"] for n, s in averages.items()},
            "coverage_90": {n: s["coverage_90"] for n, s in averages.items()},
        }
    ).loc[order.index]


def _note(row: pd.Series) -> str:
    found = []
    if not row["rhat"] < _RHAT:
        found.append(f"chains disagree (R-hat {row['rhat']:.2f})")
    if row["divergent"]:
        found.append(f"{row['divergent']:.0f} divergent draws")
    if row.get("high_k", 0) > 0:
        found.append(f"{row['high_k']:.0f} Pareto k above {PARETO_K}: the score is not reliable")
    return "; ".join(found)
