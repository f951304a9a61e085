"""Write the report of a fit: sections, page, file."""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmm_bayes.analysis.diagnosis import diagnose
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.present.report.blocks import Note, Section
from mmm_bayes.present.report.channels import curves_section, returns_section
from mmm_bayes.present.report.context import Context
from mmm_bayes.present.report.data_checks import data_section
from mmm_bayes.present.report.experiments import experiments_section
from mmm_bayes.present.report.graph import graph_section
from mmm_bayes.present.report.outcome import decomposition_section, fit_section
from mmm_bayes.present.report.page import page
from mmm_bayes.present.report.planner import planner_section
from mmm_bayes.present.report.recommendation import multiples_of, recommendation_section
from mmm_bayes.present.report.specification import model_section
from mmm_bayes.present.report.terms import terms_section
from mmm_bayes.present.report.verdict import verdict_section
from mmm_bayes.runtime.atomic_write import atomic_write
from mmm_bayes.runtime.findings import DataError

if TYPE_CHECKING:
    from mmm_bayes.causal.causal_graph import CausalGraph
    from mmm_bayes.data.lift_tests import LiftTest
    from mmm_bayes.inference.verdict import DiagnosticsReport

_MOST = (2.0, 10.0)  # least and greatest reach of sliders and curves, as multiples of spend


# Least and most of today's spend that is recommended unasked: beyond it curves are largely priors.
_STEP = (0.5, 1.5)


class ReportError(ValueError):
    """A report that cannot be written as asked for."""


def write_report(
    fitted: Fitted,
    path: str | os.PathLike[str],
    *,
    graph: CausalGraph | None = None,
    budget: Any | Literal["auto"] | None = "auto",
    tests: Sequence[LiftTest] | None = None,
    title: str | None = None,
    ci_prob: float = 0.9,
    diagnostics: DiagnosticsReport | None = None,
    date: datetime.date | None = None,
) -> Path:
    """Write one HTML file that opens anywhere, without a network.

    It holds the verdict with its findings, fit against actual, decomposition, returns, response
    curves and carry-over with intervals, the causal graph and the experiments where there are any,
    the recommended budget with its explanation, a page to try budgets on, checks of the table, the
    specification and how the fit was made. Every figure has its numbers in a table.

    Parameters
    ----------
    fitted
        A fit.
    path
        Where to write; an existing file is replaced once the new one is complete.
    graph
        Causal graph to draw.
    budget
        A ``BudgetPlan``; ``"auto"`` to optimise today's budget with every channel between half and
        one and a half of today's spend; ``None`` to leave the section out.
    tests
        Lift tests to compare with the model; by default those the fit was calibrated with.
    title
        Of the report; by default the model's name.
    ci_prob
        Mass of all intervals.
    diagnostics
        Diagnostics of this fit, if they have been made.
    date
        Of the report; today by default.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ReportError
        If ``ci_prob`` is no probability, or ``budget`` is none of its choices.
    DataError
        If a lift test does not fit the table.
    ImportError
        If jinja2 or plotly are missing, with the command that installs them.
    """
    if not 0.0 < ci_prob < 1.0:
        raise ReportError(f"ci_prob should lie between 0 and 1 (0.9 is 90%), but is {ci_prob}.")
    if isinstance(budget, str) and budget != "auto":
        raise ReportError(
            f"budget should be 'auto', a BudgetPlan or None, but is {budget!r}. Make a plan with "
            "fit.optimize_budget(...)."
        )
    path = Path(path)
    sections = _sections(
        fitted, graph, budget, tests, ci_prob, diagnostics, (date or datetime.date.today())
    )
    text = page(title or f"Media-mix report: {fitted.spec.name}", fitted, sections)
    with atomic_write(path) as place:
        place.write_text(text, encoding="utf-8")
    return path


def _sections(
    fitted: Fitted,
    graph: CausalGraph | None,
    budget: Any,
    tests: Sequence[LiftTest] | None,
    ci_prob: float,
    diagnostics: DiagnosticsReport | None,
    date: datetime.date,
) -> list[Section]:
    paid = bool(fitted.data.ds["spend"].values.any())
    auto = paid and isinstance(budget, str)
    given = budget if paid and not auto else None
    c = Context(fitted, ci_prob, _reach(None if given is None else _multiples(given, fitted)))
    with ThreadPoolExecutor(1) as beside:
        # Most of its time is compilation, which lets the others run.
        search = beside.submit(_search, fitted, ci_prob) if auto else None
        found = [verdict_section(c, diagnose(fitted) if diagnostics is None else diagnostics)]
        found += [fit_section(c), decomposition_section(c)]
        if fitted.data.channels:
            found += [returns_section(c), curves_section(c)]
        plan, trouble = search.result() if search else (given, "")
    if graph is not None:
        found.append(graph_section(graph))
    calibrated = tests is None
    own = fitted.lift_tests if tests is None else tuple(tests)
    if own:
        from mmm_bayes.analysis.lift import compare_lift_tests_of

        compared = compare_lift_tests_of(fitted, own, ci_prob)
        found.append(experiments_section(c, compared, calibrated))
    if plan is not None:
        found.append(recommendation_section(c, plan))
    elif trouble:
        found.append(Section("budget", "Recommended budget", (Note("look", trouble),)))
    if paid:
        found.append(planner_section(c, None if plan is None else _multiples(plan, fitted)))
    return [*found, data_section(c), model_section(c, f"{date:%Y-%m-%d}"), terms_section()]


def _multiples(plan: Any, fitted: Fitted) -> dict[str, float]:
    return multiples_of(plan, fitted.data.channels)


def _search(fitted: Fitted, ci_prob: float) -> tuple[Any, str]:
    """Find the best plan in reach, or the reason why there is none."""
    from mmm_bayes.budget import optimize_budget

    try:
        return optimize_budget(fitted, change=_STEP, ci_prob=ci_prob), ""
    except DataError as error:
        return None, f"No budget could be recommended. {error}"


def _reach(recommended: dict[str, float] | None) -> float:
    """Reach of the sliders: twice today's spend, or a little beyond what is recommended."""
    least, most = _MOST
    largest = max((recommended or {}).values(), default=1.0)
    if largest <= least:
        return least
    return float(min(most, -(-1.1 * largest // 0.5) * 0.5))
