"""Searches from other packages: PC, GES and LiNGAM (causal-learn), and PCMCI (tigramite)."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from mmm_bayes.causal.check.variables import NodeTable

NDArray = np.ndarray[Any, Any]

_LAGS = 2
# Smallest LiNGAM coefficient that counts as an edge, in standard deviations; LiNGAM sets few
# coefficients to exactly zero.
_LEAST_EFFECT = 0.1


@final
@dataclass(frozen=True)
class Rules:
    """Required and forbidden edges ``[cause, effect]``, as boolean arrays."""

    required: NDArray
    forbidden: NDArray


Search = Callable[[NodeTable, Rules, float], NDArray]


def pc_search(table: NodeTable, rules: Rules, alpha: float) -> NDArray:
    """Run PC (Spirtes and Glymour 1991) with Fisher's z test.

    Returns
    -------
    ndarray
        Weights ``[cause, effect]``: 1 for a directed edge, and 1/2 in each direction for an edge
        without a direction.

    Raises
    ------
    ImportError
        If causal-learn is not installed.
    """
    with _quiet():
        try:
            from causallearn.graph.GraphNode import GraphNode
            from causallearn.search.ConstraintBased.PC import pc
            from causallearn.utils.PCUtils.BackgroundKnowledge import BackgroundKnowledge
        except ImportError as error:
            raise _missing("causal-learn", "discovery") from error
        names = [f"X{i + 1}" for i in range(len(table.nodes))]
        nodes = [GraphNode(name) for name in names]
        background = BackgroundKnowledge()
        for i, j in np.argwhere(rules.required):
            background.add_required_by_node(nodes[i], nodes[j])
        for i, j in np.argwhere(rules.forbidden):
            background.add_forbidden_by_node(nodes[i], nodes[j])
        found = pc(
            _values(table), alpha, "fisherz", background_knowledge=background, node_names=names,
            show_progress=False,
        )  # fmt: skip
    return _shares(found.G.graph)


def ges_search(table: NodeTable, rules: Rules, alpha: float) -> NDArray:
    """Run GES (Chickering 2002) with the linear BIC; it ignores ``rules`` and ``alpha``.

    The result and the errors are the same as for :func:`pc_search`.
    """
    with _quiet():
        try:
            from causallearn.search.ScoreBased.GES import ges
        except ImportError as error:
            raise _missing("causal-learn", "discovery") from error
        found = ges(_values(table), score_func="local_score_BIC")["G"]
    return _shares(found.graph)


def lingam_search(table: NodeTable, rules: Rules, alpha: float) -> NDArray:
    """Run DirectLiNGAM (Shimizu and others 2011) with the required edges; it ignores ``alpha``.

    LiNGAM uses a required edge for the order of the nodes: there is a path from cause to effect,
    and none back. The result and the errors are the same as for :func:`pc_search`.
    """
    with _quiet():
        try:
            from causallearn.search.FCMBased.lingam.direct_lingam import DirectLiNGAM
        except ImportError as error:
            raise _missing("causal-learn", "discovery") from error
        # [effect, cause]; -1 means unknown. LiNGAM only derives an order of the nodes from this.
        known = np.full(rules.required.shape, -1)
        known[rules.required.T] = 1
        known[rules.required] = 0
        model = DirectLiNGAM(prior_knowledge=known if rules.required.any() else None)
        model.fit(_values(table))
    return (np.abs(np.asarray(model.adjacency_matrix_)) > _LEAST_EFFECT).T.astype(float)


def pcmci_search(table: NodeTable, rules: Rules, alpha: float) -> NDArray:
    """Run PCMCI+ (Runge 2020) with partial correlations over up to two lags.

    An edge stands for an effect at any lag. The result has the form of :func:`pc_search`; if
    different lags give both directions, each direction counts one half.

    Raises
    ------
    ImportError
        If tigramite is not installed. Its license is the GNU General Public License 3, so users
        install it themselves.
    ValueError
        If the table has no dates or more than one geo.
    """
    if table.dates is None or table.geos is not None:
        raise ValueError(
            "PCMCI requires one series with dates: give date=, and the rows of one geo."
        )
    with _quiet():
        try:
            from tigramite.data_processing import DataFrame
            from tigramite.independence_tests.parcorr import ParCorr
            from tigramite.pcmci import PCMCI
        except ImportError as error:
            raise _missing("tigramite", "pcmci") from error
        search = PCMCI(dataframe=DataFrame(_values(table)), cond_ind_test=ParCorr(), verbosity=0)
        found = search.run_pcmciplus(tau_min=0, tau_max=_LAGS, pc_alpha=alpha)["graph"]
    d = len(table.nodes)
    forward = (found == "-->").any(2)
    either = np.isin(found, ("o-o", "x-x")).any(2)
    shares = np.where(forward, 1.0, np.where(either & ~forward.T, 0.5, 0.0))
    np.fill_diagonal(shares, 0.0)
    both = (shares + shares.T) > 1.0
    return np.where(both, shares / np.where(both, shares + shares.T, 1.0), shares)[:d, :d]


SEARCHES: dict[str, Search] = {
    "pc": pc_search,
    "ges": ges_search,
    "lingam": lingam_search,
    "pcmci": pcmci_search,
}
"""Searches by name: functions of ``(table, rules, alpha)`` that return ``[cause, effect]``."""


def _values(table: NodeTable) -> NDArray:
    values = np.column_stack([table.vector(name) for name in table.nodes])
    spread = values.std(0)
    return (values - values.mean(0)) / np.where(spread > 0, spread, 1.0)


def _shares(marks: NDArray) -> NDArray:
    """Convert edge marks of causal-learn (-1 a tail, 1 an arrowhead) to weights."""
    tail, head = marks == -1, marks == 1
    # [i, j] is the mark at i of the edge between i and j. Two heads mean a hidden common cause,
    # which is no effect of one node on the other.
    directed = tail & head.T
    return directed + 0.5 * ((tail & tail.T) | (head & head.T))


def _missing(package: str, extra: str) -> ImportError:
    return ImportError(f'{package} is missing or broken: pip install "mmm-bayes[{extra}]"')


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence printed output, and warnings that are addressed to developers of these packages."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        for kind in (DeprecationWarning, FutureWarning, SyntaxWarning):
            warnings.simplefilter("ignore", kind)
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="(causallearn|tigramite)")
        yield
