"""Names of arguments in other packages, and the nearest name of ours for one that is unknown."""

from __future__ import annotations

from collections.abc import Iterable

from mmm_bayes.runtime.findings import nearest

# By our name: what PyMC, Stan, NumPyro, ArviZ, pandas, Robyn and Meridian call it. Where several
# of ours fit, the first one that the function has is suggested.
_ELSEWHERE: dict[str, str] = {
    "rng_key": "seed random_seed random_state rng key random_key prng_key",
    "num_samples": "draws num_draws n_draws samples n_samples nsamples iter iterations n_keep "
    "num_iter sample size",
    "num_draws": "draws n_draws num_samples samples n_samples",
    "num_warmup": "tune n_tune num_tune warmup n_warmup burn_in burnin n_burnin num_burnin n_adapt",
    "num_chains": "chains n_chains nchains",
    "devices": "cores n_cores num_cores n_jobs num_devices cpus workers parallel",
    "max_workers": "cores n_cores num_cores n_jobs workers num_workers",
    "target_accept": "target_accept_prob accept adapt_delta delta",
    "max_tree_depth": "max_treedepth treedepth max_depth",
    "progress": "progressbar progress_bar show_progress verbose quiet",
    "method": "inference algorithm sampler",
    "lift_tests": "experiments calibration lift_test tests",
    "ci_prob": "prob hdi_prob hdi cred_mass credible_interval interval level confidence_level",
    "num_bootstrap": "n_bootstrap n_boot bootstrap num_boot",
    "num_folds": "k n_folds folds n_splits cv",
    "target": "kpi outcome response y dependent revenue sales target_column dep_var",
    "outcome": "target kpi response y",
    "channels": "media channel x media_columns paid_media_vars channel_columns",
    "spend": "costs cost spends media_spend paid_media_spends",
    "controls": "control covariates features control_columns context_vars exogenous",
    "date": "dates time ds date_column date_col date_var week day",
    "geo": "geos region group geo_column market dma",
    "treatments": "treatment",
    "treatment": "treatments",
    "graph": "dag causal_graph",
    "separator": "sep delimiter",
    "decimal": "dec decimal_mark decimal_separator",
    "thousands": "thousands_separator big_mark",
    "encoding": "charset codec",
    "periods": "horizon steps n_periods",
    "horizon": "periods steps n_periods",
}


def nearest_argument(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'num_samples'?"`` for an argument that a function does not have.

    Names that other packages use come first, then the nearest spelling.

    Examples
    --------
    >>> nearest_argument("tune", ["rng_key", "num_warmup", "num_samples"])
    " Did you mean 'num_warmup'?"
    >>> nearest_argument("num_sample", ["num_warmup", "num_samples"])
    " Did you mean 'num_samples'?"
    """
    options = list(known)
    other = namesake(name, options)
    return f" Did you mean {other!r}?" if other else nearest(name, options)


def namesake(name: str, known: Iterable[str]) -> str | None:
    """Return the known argument that other packages call by this name, if there is one."""
    options = set(known)
    for ours, theirs in _ELSEWHERE.items():
        if ours in options and name.lower() in theirs.split():
            return ours
    return None
