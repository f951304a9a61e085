"""Tables drawn from random structural causal models, with their graphs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final, get_args

import numpy as np
import pandas as pd
import xarray as xr

from mmm_bayes.runtime.deprecation import renamed
from mmm_bayes.runtime.findings import DataError
from mmm_bayes.runtime.streams import streams
from mmm_bayes.simulate.scm_graph import causal_order, draw_pairs, draw_parents, parents_of
from mmm_bayes.simulate.scm_mechanisms import MECHANISMS, Mechanism, draw_mixture
from mmm_bayes.simulate.setting_checks import (
    column_findings,
    confounder_findings,
    edge_findings,
    name_findings,
    share_findings,
    size_findings,
)

Noise = Literal["gaussian", "uniform"]
# One random stream per part, so that another mechanism or noise does not change the graph.
_STREAMS = ("graph", "confounders", "roots", "mechanisms", "noise")


@final
@dataclass(frozen=True)
class SimulatedSCM:
    """A table drawn from a structural causal model, together with the model.

    Attributes
    ----------
    frame : pandas.DataFrame
        The observed variables, one column per node.
    nodes : tuple of str
        Names of the columns.
    edges : tuple of (str, str)
        (cause, effect), in the order of the nodes.
    bidirected : tuple of (str, str)
        Pairs with a hidden common cause.
    truth : xarray.Dataset
        ``order (position)``: nodes with causes before effects. By node, in units before
        standardisation: ``noise_mean`` and ``noise_sd`` (NaN for roots, which are all noise), and
        the ``location`` and ``scale`` of the standardisation. ``noise (row, node)``, and
        ``hidden (row, confounder)``: the hidden causes in the order of ``bidirected``. Attributes
        name the mechanism and the kind of noise.
    """

    frame: pd.DataFrame
    nodes: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]
    bidirected: tuple[tuple[str, str], ...]
    truth: xr.Dataset


@renamed(n_rows="num_rows", n_nodes="num_nodes", n_confounders="num_confounders")
def scm(
    rng_key: Any,
    *,
    num_rows: int = 500,
    num_nodes: int = 10,
    expected_degree: float = 3.0,
    mechanism: Mechanism = "nn",
    noise_coeff: float = 0.4,
    noise: Noise = "gaussian",
    edges: Iterable[Sequence[str]] | None = None,
    num_confounders: int = 0,
    rescale: bool = True,
    guide_compat: bool = False,
) -> SimulatedSCM:
    r"""Draw a table from a random structural causal model.

    This follows the Causal Discovery Toolbox (Kalainathan, Goudet and Dutta 2020), with the
    settings of the experiments of Poinsot and Leite (2023) as defaults. Nodes ``V0``, ``V1``, ..
    are drawn in a random causal order. Roots come from a mixture of four normal distributions
    (:func:`mmm_bayes.simulate.scm_mechanisms.draw_mixture`); every other node is

    .. math:: x_i = f_i(x_{\mathrm{pa}(i)}, e_i), \qquad
              e_i = \mathtt{noise\_coeff} \, (u_i z + m_i)

    with standard normal :math:`z`, and :math:`u_i \sim U(0, 1)` and :math:`m_i = \pm 2` drawn once
    per node.

    Parameters
    ----------
    rng_key : jax.Array
        Key; the same key gives the same table. Graph, mechanisms and noise have
        separate streams: changing one setting leaves everything else unchanged.
    num_rows, num_nodes : int
        Size of the table.
    expected_degree : float
        Expected number of edges over ``num_nodes``. Each node draws its parents among those before
        it with probability ``p = min(1, 2 expected_degree / (num_nodes - 1))`` each (Erdos-Renyi):
        from ``expected_degree = (num_nodes - 1) / 2`` on, all pairs are joined.
    mechanism : str
        Family of :math:`f_i`: ``"linear"`` (coefficients U(0, 1)), ``"polynomial"`` (parabolas
        clipped to -1 and 1; the noise multiplies the sum with probability 1/2),
        ``"sigmoid_add"`` (a soft step of each cause; the noise is added once per cause and again),
        ``"sigmoid_mix"`` (a soft step of the sum of causes and noise), ``"gp_add"`` (a draw of a
        Gaussian process for each cause), ``"gp_mix"`` (one draw over causes and noise together) or
        ``"nn"`` (a network of 20 tanh units over causes and noise).
    noise_coeff : float
        Factor on the noise of all nodes except roots.
    noise : {"gaussian", "uniform"}
        ``"uniform"`` draws :math:`z \sim U(0, 1)`.
    edges : iterable of (cause, effect), optional
        An acyclic graph over ``V0`` to ``V{num_nodes - 1}`` in place of a random one.
    num_confounders : int
        Number of random pairs that share a hidden cause: a separate root that enters both
        mechanisms as an additional cause and is not in the table. A node that has only hidden
        causes is not a root.
    rescale : bool
        Whether each variable is standardised (by its population standard deviation) as soon as it
        is drawn, before its effects are drawn. A constant variable is only centred.
    guide_compat : bool
        Whether roots keep the order in which the toolbox draws them: all rows of a mixture's first
        component, then those of the second, and so on. All roots then change component in about the
        same rows, so that **roots that are independent by the graph are strongly dependent**, and
        so are other variables: the table violates its graph, and rows are not exchangeable.
        Published figures are based on such tables. By default the rows of each root are shuffled
        separately: rows are independent and follow the graph.

    Returns
    -------
    SimulatedSCM

    Raises
    ------
    DataError
        Listing every setting that is out of range, and every invalid edge.
    TypeError
        If ``rng_key`` is no JAX key.

    References
    ----------
    D. Kalainathan, O. Goudet and R. Dutta (2020), Causal Discovery Toolbox. JMLR 21(37).
    A. Poinsot and A. Leite (2023), A guide for practical use of ADMG causal data augmentation.
    arXiv:2304.01237.

    Examples
    --------
    >>> import jax
    >>> from mmm_bayes import simulate
    >>> chain = [("V0", "V1"), ("V1", "V2")]
    >>> simulated = simulate.scm(jax.random.key(0), num_rows=200, num_nodes=3, edges=chain)
    >>> simulated.frame.shape
    (200, 3)
    >>> simulated.truth["order"].values.tolist()
    ['V0', 'V1', 'V2']
    """
    edges = list(edges) if isinstance(edges, Iterable) and not isinstance(edges, str) else edges
    nodes = _check(
        edges,
        sizes={
            "num_rows": (num_rows, 2),
            "num_nodes": (num_nodes, 1),
            "num_confounders": (num_confounders, 0),
        },
        shares={"expected_degree": expected_degree, "noise_coeff": noise_coeff},
        names={"mechanism": (mechanism, tuple(MECHANISMS)), "noise": (noise, get_args(Noise))},
    )
    rng = streams(rng_key, _STREAMS)
    if edges is None:
        parents = draw_parents(rng["graph"], num_nodes, expected_degree)
    else:
        parents = parents_of(edges, nodes)
    pairs = draw_pairs(rng["confounders"], num_nodes, num_confounders)
    drawn = _generate(
        rng,
        _with_hidden(parents, pairs),
        num_rows,
        mechanism=mechanism,
        noise_coeff=noise_coeff,
        noise=noise,
        rescale=rescale,
        by_component=guide_compat,
    )
    named = [{nodes[i] for i in into} for into in parents]
    truth = _as_truth(drawn, nodes).assign_attrs(mechanism=mechanism, noise=noise)
    return SimulatedSCM(
        frame=pd.DataFrame(drawn.values[:, :num_nodes], columns=list(nodes)),
        nodes=nodes,
        edges=tuple(
            (v, w) for v in nodes for w, into in zip(nodes, named, strict=True) if v in into
        ),
        bidirected=tuple((nodes[i], nodes[j]) for i, j in pairs),
        truth=truth,
    )


def add_uniform_outliers(
    rng_key: Any, frame: pd.DataFrame, fraction: float
) -> tuple[pd.DataFrame, np.ndarray]:
    """Append rows whose cells are uniform on the observed range of their column.

    Such rows follow no graph: their columns are independent.

    Parameters
    ----------
    rng_key : jax.Array
        Key; the same key gives the same rows.
    frame : pandas.DataFrame
        Columns of numbers, at least one row.
    fraction : float
        ``int(fraction * len(frame))`` rows are appended.

    Returns
    -------
    pandas.DataFrame
        The rows of ``frame`` and then the new ones, counted from 0.
    numpy.ndarray
        Positions of the new rows.

    Raises
    ------
    DataError
        Listing a fraction out of range, columns that are not numeric, and empty cells.

    Examples
    --------
    >>> import jax
    >>> from mmm_bayes import simulate
    >>> frame = pd.DataFrame({"tv": [0.0, 1.0, 2.0, 4.0]})
    >>> more, positions = add_uniform_outliers(jax.random.key(0), frame, 0.5)
    >>> positions
    array([4, 5])
    """
    findings = [*column_findings(frame), *share_findings({"fraction": fraction})]
    if findings:
        raise DataError(findings, "the arguments of add_uniform_outliers")
    rng = streams(rng_key, ("outliers",))["outliers"]
    count = int(fraction * len(frame))
    values = frame.to_numpy(dtype=np.float64)
    rows = rng.uniform(values.min(0), values.max(0), (count, frame.shape[1]))
    longer = pd.DataFrame(np.concatenate([values, rows]), columns=frame.columns)
    return longer, np.arange(len(frame), len(longer))


@dataclass(frozen=True)
class _Drawn:
    """Everything that was drawn, by node: observed nodes first, then hidden causes."""

    order: tuple[int, ...]
    values: np.ndarray
    noise: np.ndarray
    noise_mean: np.ndarray
    noise_sd: np.ndarray
    location: np.ndarray
    scale: np.ndarray


def _with_hidden(
    parents: Sequence[tuple[int, ...]], pairs: Sequence[tuple[int, int]]
) -> list[tuple[int, ...]]:
    """Return the causes of each node; hidden causes are additional nodes at the end."""
    count = len(parents)
    hidden = [tuple(count + k for k, pair in enumerate(pairs) if i in pair) for i in range(count)]
    return [*(a + b for a, b in zip(parents, hidden, strict=True)), *[()] * len(pairs)]


def _generate(
    rng: dict[str, np.random.Generator],
    causes: Sequence[tuple[int, ...]],
    num_rows: int,
    *,
    mechanism: Mechanism,
    noise_coeff: float,
    noise: Noise,
    rescale: bool,
    by_component: bool,
) -> _Drawn:
    count = len(causes)
    # One stream per node, so that the draws of one node do not shift those of the next.
    streams = {part: rng[part].spawn(count) for part in ("roots", "mechanisms", "noise")}
    drawn = _Drawn(
        order=tuple(causal_order(causes)),
        values=np.empty((num_rows, count)),
        noise=np.full((num_rows, count), np.nan),
        noise_mean=np.full(count, np.nan),
        noise_sd=np.full(count, np.nan),
        location=np.zeros(count),
        scale=np.ones(count),
    )
    for i in drawn.order:
        if causes[i]:
            z, mean, sd = _draw_noise(streams["noise"][i], num_rows, noise)
            drawn.noise[:, i] = noise_coeff * z
            drawn.noise_mean[i], drawn.noise_sd[i] = noise_coeff * mean, noise_coeff * sd
            x = MECHANISMS[mechanism](
                streams["mechanisms"][i], drawn.values[:, list(causes[i])], drawn.noise[:, i]
            )
        else:
            x = draw_mixture(streams["roots"][i], num_rows, by_component=by_component)
        if rescale:
            drawn.location[i], drawn.scale[i] = _moments(x)
        drawn.values[:, i] = (x - drawn.location[i]) / drawn.scale[i]
    return drawn


def _draw_noise(
    rng: np.random.Generator, num_rows: int, noise: Noise
) -> tuple[np.ndarray, float, float]:
    """Draw the noise of one node; also return its mean and standard deviation given u and m."""
    spread, offset = rng.uniform(), rng.choice((-2.0, 2.0))
    if noise == "gaussian":
        return spread * rng.standard_normal(num_rows) + offset, offset, spread
    uniform_sd = 12**-0.5
    return spread * rng.uniform(size=num_rows) + offset, spread / 2 + offset, spread * uniform_sd


def _moments(x: np.ndarray) -> tuple[float, float]:
    """Return mean and population standard deviation, with 1 for one that is only rounding."""
    sd = float(x.std())
    is_constant = sd <= 10 * np.finfo(np.float64).eps * float(np.abs(x).max())
    return float(x.mean()), 1.0 if is_constant else sd


def _as_truth(drawn: _Drawn, nodes: tuple[str, ...]) -> xr.Dataset:
    count = len(nodes)
    by_node = {
        name: ("node", getattr(drawn, name)[:count])
        for name in ("noise_mean", "noise_sd", "location", "scale")
    }
    return xr.Dataset(
        {
            "order": ("position", [nodes[i] for i in drawn.order if i < count]),
            **by_node,
            "noise": (("row", "node"), drawn.noise[:, :count]),
            "hidden": (("row", "confounder"), drawn.values[:, count:]),
        },
        coords={"node": list(nodes)},
    )


def _check(
    edges: Any,
    *,
    sizes: dict[str, tuple[Any, int]],
    shares: dict[str, Any],
    names: dict[str, tuple[Any, tuple[str, ...]]],
) -> tuple[str, ...]:
    """Return the names of the nodes, or raise listing every problem."""
    findings = size_findings(sizes)
    nodes: tuple[str, ...] = ()
    if not {"num_nodes", "num_confounders"} & {finding.where for finding in findings}:
        num_nodes, num_confounders = sizes["num_nodes"][0], sizes["num_confounders"][0]
        nodes = tuple(f"V{i}" for i in range(num_nodes))
        findings += confounder_findings(num_confounders, num_nodes)
        findings += [] if edges is None else edge_findings(edges, nodes)
    findings += [*share_findings(shares), *name_findings(names)]
    if findings:
        raise DataError(findings, "the settings of simulate.scm")
    return nodes
