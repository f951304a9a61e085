"""Effects of media on an outcome, identified by a causal graph, with robust standard errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mmm_bayes.causal.effects.design import (
    Source,
    chosen_adjustment,
    examine_adjustment,
    make_design,
    outcome_of,
    read_source,
    transforms_for,
)
from mmm_bayes.causal.effects.estimate import (
    Bootstrap,
    Contrast,
    Effect,
    EffectEstimate,
    EffectSettings,
    EffectsTable,
)
from mmm_bayes.causal.effects.estimation import bootstrap_draws, estimate_design, robust_error
from mmm_bayes.causal.effects.estimators import Design, Estimator
from mmm_bayes.causal.effects.media import MediaTransform, Transforms
from mmm_bayes.causal.effects.question import check_question, nodes_needed, treatments_of
from mmm_bayes.causal.identify.criteria import IdentificationError
from mmm_bayes.runtime.deprecation import renamed, rng_key_first
from mmm_bayes.runtime.streams import generator

if TYPE_CHECKING:
    import pandas as pd

    from mmm_bayes.causal.causal_graph import CausalGraph
    from mmm_bayes.causal.check.variables import NodeTable
    from mmm_bayes.data.schema import MMMData

NDArray = np.ndarray[Any, Any]

__all__ = ["average_treatment_effect", "effects_table"]


@rng_key_first()
@renamed(draws="num_draws", level="ci_prob")
def average_treatment_effect(
    rng_key: Any,
    data: MMMData | pd.DataFrame | NodeTable | Source,
    graph: CausalGraph,
    treatment: str,
    outcome: str | None = None,
    *,
    contrast: Contrast = "as_spent_vs_zero",
    effect: Effect = "total",
    estimator: Estimator = "linear",
    transform: Transforms | str | None = None,
    adjustment: Iterable[str] | None = None,
    precise: bool = True,
    modifiers: Sequence[str] = (),
    latent: Iterable[str] = (),
    bootstrap: Bootstrap = "wild",
    num_draws: int = 500,
    ci_prob: float = 0.9,
    date: str | None = None,
    geo: str | None = None,
    spend: Mapping[str, str] | None = None,
) -> EffectEstimate:
    r"""Estimate the effect of a treatment on an outcome under a causal graph.

    Let :math:`f(d, z)` be the mean outcome at dose :math:`d` given the adjustment set :math:`z`.
    The effect is

    .. math:: \text{as spent against zero: } \sum_t f(d_t, z_t) - f(0, z_t), \qquad
              \text{per unit: } \frac{\sum_t f(d_t^+, z_t) - f(d_t, z_t)}{\sum_t x_t^+ - x_t}

    where :math:`x^+` is the treatment increased by 1% in every row and :math:`d^+` is the
    corresponding dose. Without a transform, the effect per unit is the slope of :math:`f` in the
    dose, which is the coefficient if the estimator is linear.

    Parameters
    ----------
    rng_key : jax.Array or int
        Random key of the bootstrap, or a seed.
    data : MMMData or pandas.DataFrame
        Table with one row per date, or per date and geo.
    graph : CausalGraph
        Causal graph of the treatment, the outcome and their common causes.
    treatment, outcome : str
        Nodes of the graph. By default the outcome is the node with the role "target", or the
        target of the table.
    contrast : {"as_spent_vs_zero", "per_unit"}
        The treatment as spent compared with zero, or one more unit of the treatment.
    effect : {"total", "direct", "indirect"}
        The effect along all causal paths, the effect along the edge from treatment to outcome alone
        (mediators are adjusted for), or the difference of the two. In linear models without
        interactions these are the natural direct and indirect effects.
    estimator : str
        ``"linear"``: linear regression. ``"splines"``: g-computation with smooth functions.
        ``"double_ml"``: double machine learning, cross-fitted on blocks of dates.
        ``"log_linear"``: Poisson regression with multiplicative effects.
        ``"backdoor.linear_regression"`` and ``"backdoor.generalized_linear_model"``: DoWhy's
        versions of the linear and the log-linear estimator.
    transform : mapping or "search", optional
        Carry-over and saturation by channel, see
        :func:`mmm_bayes.causal.effects.media.media_transforms`. Channels in the adjustment set are
        transformed as well. ``"search"`` chooses the transforms, see
        :func:`mmm_bayes.causal.effects.media.choose_transforms`; the standard errors are then
        conditional on this choice.
    adjustment : iterable of str, optional
        Adjustment set to use instead of one derived from the graph. It is used unchanged; problems
        are reported in a warning and in ``notes``.
    precise : bool
        If true, also adjust for causes of the outcome that make the estimate more precise. If
        false, use the smallest valid adjustment set.
    modifiers : sequence of str
        Effect modifiers: nodes, ``"season"`` or ``"geo"``.
    latent : iterable of str
        Nodes of the graph that are not measured.
    bootstrap : {"wild", "blocks"}
        ``"wild"``: dependent wild bootstrap of the influence function, scaled to the robust
        standard error, with draws from Student's t. ``"blocks"``: refits to resampled blocks of
        dates, whose intervals are slightly too narrow with about a hundred weeks.
    num_draws : int
        Number of bootstrap draws.
    ci_prob : float
        Probability mass of the intervals.
    date, geo, spend
        Columns of a data frame: the date column, the geo column, and a mapping from channels to
        spend columns.

    Raises
    ------
    IdentificationError
        If the graph has no valid adjustment set. The message lists the open paths and possible
        remedies.
    DataError
        If the table or the question is invalid. The message lists every problem.
    ImportError
        If the package that an estimator requires is not installed.

    Warns
    -----
    DataWarning
        If the given adjustment set is not valid.

    References
    ----------
    J. Pearl (2009), Causality, 2nd edition, chapters 3 and 4.

    Examples
    --------
    >>> import jax
    >>> import numpy as np
    >>> import pandas as pd
    >>> from mmm_bayes import CausalGraph
    >>> rng = np.random.default_rng(0)
    >>> season = rng.normal(size=200)
    >>> tv = 3 + season + rng.normal(size=200)
    >>> sales = 20 + 2 * tv + 5 * season + rng.normal(size=200)
    >>> table = pd.DataFrame({"season": season, "tv": tv, "sales": sales})
    >>> graph = CausalGraph(edges=[("season", "tv"), ("season", "sales"), ("tv", "sales")])
    >>> found = average_treatment_effect(
    ...     jax.random.key(0), table, graph, "tv", "sales", contrast="per_unit"
    ... )
    >>> found.adjustment, round(found.value, 1)
    (('season',), 2.1)
    """
    check_question(effect, estimator, contrast, bootstrap, num_draws, ci_prob, adjustment)
    target = outcome_of(data, graph, outcome)
    settings = EffectSettings(estimator, contrast, bootstrap, num_draws, ci_prob)
    given = None if adjustment is None else tuple(adjustment)
    kinds: list[Any] = ["total", "direct"] if effect == "indirect" else [effect]
    sets: dict[str, tuple[str, ...]] = {}
    notes: dict[str, tuple[str, ...]] = {}
    for kind in kinds:
        if given is None:
            sets[kind] = chosen_adjustment(
                graph, treatment, target, kind, latent=latent, precise=precise
            )
            notes[kind] = ()
        else:
            notes[kind] = examine_adjustment(graph, treatment, target, kind, given)
            sets[kind] = given
    nodes = nodes_needed(graph, treatment, target, sets, modifiers)
    source = read_source(data, graph, nodes, date=date, geo=geo, spend=spend)
    first = sets[kinds[0]]
    media = [v for v in graph.nodes if v in {treatment, *first} and _is_media(v, treatment, source)]
    others = [v for v in first if v not in media]
    transforms = transforms_for(source, target, media, others, transform)
    found = [
        _estimate(
            source, treatment, target, kind, sets[kind], transforms, modifiers, settings,
            rng_key, notes[kind],
        )
        for kind in kinds
    ]  # fmt: skip
    return found[0] if len(found) == 1 else _difference(*found)


@rng_key_first()
@renamed(draws="num_draws", level="ci_prob")
def effects_table(
    rng_key: Any,
    data: MMMData | pd.DataFrame | NodeTable | Source,
    graph: CausalGraph,
    treatments: Iterable[str] | None = None,
    outcome: str | None = None,
    *,
    contrast: Contrast = "as_spent_vs_zero",
    estimator: Estimator = "linear",
    transform: Transforms | str | None = None,
    precise: bool = True,
    modifiers: Sequence[str] = (),
    latent: Iterable[str] = (),
    bootstrap: Bootstrap = "wild",
    num_draws: int = 500,
    ci_prob: float = 0.9,
    date: str | None = None,
    geo: str | None = None,
    spend: Mapping[str, str] | None = None,
) -> EffectsTable:
    """Estimate total, direct and indirect effects of several treatments.

    Parameters
    ----------
    rng_key, data, graph, outcome, contrast, estimator, transform, precise, modifiers, latent,
    bootstrap, num_draws, ci_prob, date, geo, spend
        As in :func:`average_treatment_effect`. With ``transform="search"``, transforms are chosen
        once, jointly for all channels.
    treatments : iterable of str, optional
        Default: the graph's nodes with the role "channel", or the channels of the table.

    Returns
    -------
    EffectsTable
        The total effect of each treatment, and its direct and indirect effects if a causal path
        runs through a mediator. Treatments with unidentified effects are listed with the reason.

    Raises
    ------
    DataError
        If the table or the question is invalid. The message lists every problem.
    """
    target = outcome_of(data, graph, outcome)
    names = treatments_of(data, graph, treatments)
    hidden = tuple(latent)
    sets: dict[str, tuple[str, ...]] = {}
    direct: dict[str, tuple[str, ...]] = {}
    refused: dict[str, str] = {}
    for name in names:
        mediated = any(target in graph.descendants(v) for v in graph.children(name) if v != target)
        try:
            sets[name] = chosen_adjustment(
                graph, name, target, "total", latent=hidden, precise=precise
            )
            if mediated:
                direct[name] = chosen_adjustment(
                    graph, name, target, "direct", latent=hidden, precise=precise
                )
        except IdentificationError as error:
            refused[name if name not in sets else f"{name} (direct, indirect)"] = str(error)
    adjusting = {name: (name, *own, *direct.get(name, ())) for name, own in sets.items()}
    first = next(iter(names), target)
    nodes = nodes_needed(graph, first, target, adjusting, modifiers)
    source = read_source(data, graph, nodes, date=date, geo=geo, spend=spend)
    if isinstance(transform, str):
        others = {v for own in sets.values() for v in own} - set(names)
        transform = transforms_for(source, target, names, sorted(others), transform)
    kinds: dict[str, tuple[Effect, ...]] = {
        name: ("total", "direct", "indirect") if name in direct else ("total",) for name in sets
    }
    found = tuple(
        average_treatment_effect(
            rng_key, source, graph, name, target, contrast=contrast, effect=effect,
            estimator=estimator, transform=transform, precise=precise, modifiers=modifiers,
            latent=hidden, bootstrap=bootstrap, num_draws=num_draws, ci_prob=ci_prob,
        )
        for name, own in kinds.items()
        for effect in own
    )  # fmt: skip
    return EffectsTable(found, refused)


def _estimate(
    source: Source,
    treatment: str,
    outcome: str,
    effect: Effect,
    adjustment: tuple[str, ...],
    transforms: Mapping[str, MediaTransform],
    modifiers: Sequence[str],
    settings: EffectSettings,
    rng_key: Any,
    notes: tuple[str, ...],
) -> EffectEstimate:
    design = make_design(source, treatment, outcome, adjustment, transforms, modifiers)
    value, influence, fitted = estimate_design(design, settings)
    error, dof = robust_error(influence, design, fitted.dof)
    parameters, values = bootstrap_draws(
        generator(rng_key), design, fitted, influence, error, dof, settings
    )
    money = source.spend.get(treatment)
    return EffectEstimate(
        treatment=treatment,
        outcome=outcome,
        effect=effect,
        adjustment=adjustment,
        value=value,
        standard_error=error,
        dof=dof,
        draws=values,
        settings=settings,
        amount=source.table.vector(treatment) if money is None else money,
        exposure=source.table.vector(treatment),
        revenue=source.revenue,
        dates=source.table.dates,
        step=source.table.step,
        transform=transforms.get(treatment),
        notes=(*notes, *_support(design, treatment, settings)),
        design=design,
        fitted=fitted,
        parameter_draws=parameters,
        influence=influence,
    )


def _difference(total: EffectEstimate, direct: EffectEstimate) -> EffectEstimate:
    """Return the total minus the direct effect, with the joint error of both on the same rows."""
    if total.influence is None or direct.influence is None or total.design is None:
        raise ValueError("Both estimates need their arrays.")
    influence = total.influence - direct.influence
    dof = min(total.fitted.dof, direct.fitted.dof)  # type: ignore[union-attr]
    error, degrees = robust_error(influence, total.design, dof)
    return replace(
        total,
        effect="indirect",
        adjustment=direct.adjustment,
        value=total.value - direct.value,
        standard_error=error,
        dof=degrees,
        draws=total.draws - direct.draws,
        notes=tuple(dict.fromkeys((*total.notes, *direct.notes))),
        design=None,
        fitted=None,
        parameter_draws=None,
        influence=influence,
        parts=(total, direct),
    )


def _support(design: Design, treatment: str, settings: EffectSettings) -> tuple[str, ...]:
    """Return a note if zero is far from every observed dose."""
    least, mean = float(design.dose.min()), float(design.dose.mean())
    if settings.contrast == "as_spent_vs_zero" and mean > 0 and least > 0.25 * mean:
        return (
            f"{treatment} is never near zero (its smallest dose is {least / mean:.0%} of the "
            "mean), so the result relies on extrapolating the response curve to zero.",
        )
    return ()


def _is_media(node: str, treatment: str, source: Source) -> bool:
    return node in source.channels or (node == treatment and not source.channels)
