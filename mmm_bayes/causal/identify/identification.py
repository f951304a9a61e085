"""Identify an effect by back door, front door, general formula, or instrument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

from mmm_bayes.causal.graph.checks import GraphError
from mmm_bayes.causal.graph.mixed_graph import MixedGraph, Names
from mmm_bayes.causal.identify.adjustment import adjustment_set, adjustment_sets
from mmm_bayes.causal.identify.criteria import Effect, IdentificationError, criterion
from mmm_bayes.causal.identify.front_door import front_door_set
from mmm_bayes.causal.identify.id_algorithm import id_formula
from mmm_bayes.causal.identify.instruments import Instrument, instruments
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.visible import shown_safely, visible_html

Strategy = Literal[
    "no effect", "back door", "front door", "instrument", "general formula", "not identified"
]
_MOST_SETS = 50


@final
@dataclass(frozen=True)
class Identification:
    """Ways to estimate an effect from observational data, provided that the graph is correct.

    Attributes
    ----------
    treatment, outcome : str
    effect : {"total", "direct"}
    strategy : str
        The first strategy that applies among ``"no effect"`` (no directed path), ``"back door"``,
        ``"front door"``, ``"general formula"``, ``"instrument"`` (which requires linearity), or
        ``"not identified"``.
    adjustment : tuple of str or None
        The smallest valid adjustment set.
    adjustment_sets : tuple of tuple of str
        All minimal valid adjustment sets; empty if there are more than 50.
    front_door : tuple of str or None
        A minimal front-door set.
    instruments : tuple of Instrument
        Nodes that are instruments, with the nodes to condition on.
    formula : str or None
        The interventional distribution in terms of observed distributions, for total effects that
        the graph identifies.
    reasons : tuple of str
        Reasons why adjustment is not possible.
    """

    treatment: str
    outcome: str
    effect: Effect
    strategy: Strategy
    adjustment: tuple[str, ...] | None = None
    adjustment_sets: tuple[tuple[str, ...], ...] = ()
    front_door: tuple[str, ...] | None = None
    instruments: tuple[Instrument, ...] = ()
    formula: str | None = None
    reasons: tuple[str, ...] = ()

    @property
    def identified(self) -> bool:
        """Whether the graph identifies the effect without the assumption of linearity."""
        return self.strategy not in ("instrument", "not identified")

    @shown_safely
    def __str__(self) -> str:
        x, y = self.treatment, self.outcome
        lines = [f"The {self.effect} effect of {x} on {y}: {self.strategy}."]
        if self.strategy == "no effect":
            lines.append(f"  In this graph {x} does not cause {y}: the effect is zero.")
        if self.adjustment is not None:
            lines.append(f"  adjust for: {_list(self.adjustment)}")
            others = [own for own in self.adjustment_sets if own != self.adjustment]
            if others:
                lines.append("  or for: " + "; ".join(_list(own) for own in others[:5]))
        if self.front_door is not None:
            lines.append(f"  front door through: {_list(self.front_door)}")
        if self.strategy == "general formula":
            lines.append(f"  p({y} | do({x})) = {self.formula}")
        if self.instruments:
            names = "; ".join(map(str, self.instruments))
            lines.append(f"  instruments (linear effects): {names}")
        lines += [f"  {reason}" for reason in self.reasons]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head, *rest = str(self).splitlines()
        items = "".join(f"<li>{visible_html(line.strip())}</li>" for line in rest)
        return f"<p>{visible_html(head)}</p><ul>{items}</ul>"


@named_arguments
def identify(
    graph: MixedGraph,
    treatment: str,
    outcome: str,
    *,
    effect: Effect = "total",
    latent: Names = (),
    forbidden: Names = (),
) -> Identification:
    """Find the ways in which observations identify the effect of a treatment on an outcome.

    All strategies are tried, and the first that applies is reported: adjustment (back door), front
    door, the general formula of :func:`mmm_bayes.causal.identify.id_algorithm.id_formula`, which is
    complete, and instruments, which also require linear effects. For direct effects only adjustment
    is tried.

    Parameters
    ----------
    treatment, outcome : str
    effect : {"total", "direct"}
    latent, forbidden : str or iterable of str
        Nodes that are not measured, or should not be used.

    Raises
    ------
    GraphError
        If names are unknown, or treatment and outcome are the same.

    Examples
    --------
    >>> from mmm_bayes import CausalGraph
    >>> graph = CausalGraph(
    ...     edges=[("tv", "search"), ("search", "sales")], bidirected=[("tv", "sales")]
    ... )
    >>> print(graph.identify("tv", "sales"))
    The total effect of tv on sales: front door.
      front door through: search
      No allowed set closes the path tv <-> sales. It runs through a hidden cause of tv and sales.
      Remedies: the front door through search; measuring the hidden causes on these paths (or
      proxies of them); an experiment on tv.
    """
    if not isinstance(treatment, str):
        raise GraphError(["identify takes one treatment: name a node."], "the question")
    goal = criterion(graph, treatment, outcome, effect)
    adjustment: tuple[str, ...] | None = None
    reasons: tuple[str, ...] = ()
    sets: tuple[tuple[str, ...], ...] = ()
    try:
        adjustment = adjustment_set(
            graph, treatment, outcome, effect=effect, latent=latent, forbidden=forbidden
        )
    except IdentificationError as error:
        reasons = error.problems
    else:
        sets = _some_sets(graph, treatment, outcome, effect, latent, forbidden)
    if effect == "direct":
        strategy = _first(not goal.through, adjustment is not None, False, False, False)
        return Identification(
            treatment, outcome, effect, strategy, adjustment, sets, reasons=reasons
        )
    door = front_door_set(graph, treatment, outcome, latent=latent, forbidden=forbidden)
    found = instruments(graph, treatment, outcome, latent=latent, forbidden=forbidden)
    formula = id_formula(graph, treatment, outcome, latent=latent)
    strategy = _first(
        not goal.through, adjustment is not None, door is not None, formula is not None, bool(found)
    )
    if strategy == "no effect":
        reasons = ()
    return Identification(
        treatment, outcome, effect, strategy, adjustment, sets, door, found, formula, reasons
    )


def _first(none: bool, back: bool, front: bool, general: bool, instrument: bool) -> Strategy:
    ways: list[tuple[bool, Strategy]] = [
        (none, "no effect"),
        (back, "back door"),
        (front, "front door"),
        (general, "general formula"),
        (instrument, "instrument"),
    ]
    return next((name for serves, name in ways if serves), "not identified")


def _some_sets(
    graph: MixedGraph,
    treatment: str,
    outcome: str,
    effect: Effect,
    latent: Names,
    forbidden: Names,
) -> tuple[tuple[str, ...], ...]:
    """List the minimal sets, or none if there are more than the limit."""
    try:
        return adjustment_sets(
            graph, treatment, outcome, effect=effect, latent=latent, forbidden=forbidden,
            limit=_MOST_SETS,
        )  # fmt: skip
    except GraphError:
        return ()


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "nothing"
