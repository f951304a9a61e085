"""A media-mix model with one equation per node of a causal graph."""

from __future__ import annotations

import contextlib
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Unpack, final

import jax
import xarray as xr

from mmm_bayes._typing import RngKey
from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.causal.graph.checks import if_hidden
from mmm_bayes.data.schema import MMMData
from mmm_bayes.fit import MMM
from mmm_bayes.fit_result import FitResult
from mmm_bayes.inference import mcmc
from mmm_bayes.inference.settings import SamplerSettings, given
from mmm_bayes.model import structural, tree
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.spec import ModelSpec, SeasonalitySpec
from mmm_bayes.runtime.deprecation import named_arguments, renamed, spelled_out
from mmm_bayes.runtime.findings import DataError, DataWarning, Finding, listing, nearest
from mmm_bayes.runtime.progress import Progress, choose_progress
from mmm_bayes.runtime.streams import as_key
from mmm_bayes.runtime.visible import shown_safely
from mmm_bayes.runtime.warn import warn_user
from mmm_bayes.structural.equations import equation_data
from mmm_bayes.structural.fit import StructuralFit

_DRAWS = ("chain", "draw")


@final
class StructuralMMM:
    r"""A system of equations, one for each node of a causal graph that is not a root.

    The equation of a node has the form of :class:`~mmm_bayes.fit.MMM`. Parents that are media have
    adstock and saturation, and other parents enter linearly; the specification sets trend and
    likelihood. Nodes that share a hidden cause (bidirected edges) have correlated errors, see
    :mod:`mmm_bayes.model.structural`. Interventions on the fitted system give total, direct and
    path-specific effects, such as the effect of TV through search.

    Parameters
    ----------
    data
        The table. Nodes are matched to its channels, controls and target by name.
    graph
        The causal graph. A node with the role ``"seasonality"`` needs no column; it adds Fourier
        terms to the equations of its children, and only to these. Hidden common causes are
        represented by bidirected edges.
    spec
        Specification of the equations. Default: ``ModelSpec()``.
    specs
        Specifications of individual nodes, which replace ``spec``.
    media
        Nodes with carry-over and saturation. Default: the channels of the table. Controls named
        here must not be negative.

    Raises
    ------
    DataError
        If a node has no column, the target is not in the graph, or media have negative values. The
        message lists every problem.

    Examples
    --------
    >>> import jax
    >>> import mmm_bayes as mb
    >>> data = mb.load_dataset("national_weekly")
    >>> graph = mb.CausalGraph(edges=[("tv", "search"), ("tv", "revenue"), ("search", "revenue")])
    >>> fit = mb.StructuralMMM(data, graph).fit(jax.random.key(0))  # doctest: +SKIP
    >>> fit.summary()  # doctest: +SKIP
    """

    @named_arguments
    def __init__(
        self,
        data: MMMData,
        graph: CausalGraph,
        spec: ModelSpec | None = None,
        *,
        specs: Mapping[str, ModelSpec] | None = None,
        media: Iterable[str] | None = None,
    ) -> None:
        self.data, self.graph = data, graph
        self.spec, self.specs = spec or ModelSpec(), dict(specs or {})
        self.media = frozenset(data.channels if media is None else media)
        self.target = data.target_name
        self._check()
        self.districts = self._districts()
        self.models = {node: self._model(node) for district in self.districts for node in district}

    @shown_safely
    def __repr__(self) -> str:
        return "\n".join(self.equations())

    @property
    def seasons(self) -> frozenset[str]:
        """Nodes without a column that represent the season."""
        return frozenset(self.graph.nodes_of("seasonality")) - set(self.data.columns())

    def equations(self) -> list[str]:
        """Return the equations as text, e.g. ``"sales ~ media(tv, search) + season + price"``."""
        lines = []
        for node in self.graph.topological_order():
            if node not in self.models:
                continue
            model, parts = self.models[node], []
            if model.data.channels:
                parts.append(f"media({', '.join(model.data.channels)})")
            parts += ["season"] if model.spec.seasonality else []
            parts += model.data.controls
            lines.append(f"{node} ~ {' + '.join(parts) or '1'}")
        lines += [f"{one} <-> {other}" for one, other in self.graph.bidirected]
        return lines

    def _check(self) -> None:
        columns, graph = self.data.columns(), self.graph
        seasons = set(graph.nodes_of("seasonality"))
        findings: list[Finding] = []

        def wrong(check: str, message: str, remedy: str, node: str) -> None:
            findings.append(Finding(check, "error", message, remedy, node))

        for node in graph.nodes:
            if node not in columns and node not in seasons:
                hint = nearest(node, columns)
                remedy = f"{hint.strip()} " if hint else ""
                remedy += if_hidden(node)
                wrong("unknown_node", f"Node {node!r} has no column in the table.", remedy, node)
        if self.target not in graph.nodes:
            remedy = "Add it to the graph, with edges from its causes."
            message = f"The graph does not contain the target {self.target!r}."
            wrong("target", message, remedy, self.target)
        for node in self.specs:
            if node not in graph.nodes:
                remedy = nearest(node, graph.nodes).strip() or "Leave it out."
                wrong("specs", f"specs= contains {node!r}, which is not a node.", remedy, node)
        for node in self.media - set(columns):
            remedy = nearest(node, columns).strip() or "Leave it out."
            wrong("media", f"media= contains {node!r}, which is not a column.", remedy, node)
        for node in sorted(self.media & set(columns)):
            if (columns[node] < 0).any():
                message = f"media= contains {node!r}, but some of its values are negative."
                remedy = "Leave it out of media=, so that it enters linearly."
                wrong("media", message, remedy, node)
        if findings:
            raise DataError(findings, "the structural model")
        left = [channel for channel in self.data.channels if channel not in graph.nodes]
        if left:
            warn_user(
                f"The graph does not contain the channels {listing(left)}, so they are ignored.",
                DataWarning,
            )

    def _districts(self) -> list[tuple[str, ...]]:
        """Return groups of nodes with linked errors; roots without hidden causes are left out."""
        columns = set(self.data.columns())
        found = []
        for district in self.graph.districts():
            alone = len(district) == 1 and not self.graph.parents(district[0])
            if not alone and columns.issuperset(district):
                found.append(district)
        return found

    def _model(self, node: str) -> MMM:
        parents = [p for p in self.graph.parents(node) if p not in self.seasons]
        media = [p for p in parents if p in self.media]
        linear = [p for p in parents if p not in self.media]
        return MMM(equation_data(self.data, node, media, linear), self._spec(node, media, linear))

    def _spec(self, node: str, media: Sequence[str], linear: Sequence[str]) -> ModelSpec:
        """Return the specification of an equation, restricted to the parents of its node."""
        spec = self.specs.get(node, self.spec)
        changes: dict[str, Any] = {
            "name": f"{spec.name}: {node}",
            "channels": {name: own for name, own in spec.channels.items() if name in media},
            "controls": spec.controls.model_copy(
                update={"priors": {n: p for n, p in spec.controls.priors.items() if n in linear}}
            ),
        }
        if self.seasons:
            own = self.seasons & set(self.graph.parents(node))
            changes["seasonality"] = (spec.seasonality or (SeasonalitySpec(),)) if own else ()
        if node != self.target and node not in self.specs:
            # Revenue per target, count likelihoods and logarithms apply to the target only.
            changes["likelihood"] = {"family": "normal", "sigma": spec.likelihood.sigma}
            changes["media"] = spec.media.model_copy(update={"effect": "coefficient"})
            changes["channels"] = {
                name: own.model_copy(update={"effect": None})
                for name, own in changes["channels"].items()
            }
        return spec.evolve(**changes)

    @renamed(prior_draws="num_prior_draws")
    @spelled_out(SamplerSettings)
    def fit(
        self,
        rng_key: RngKey,
        *,
        progress: bool | Progress | None = None,
        num_prior_draws: int = 500,
        **settings: Unpack[SamplerSettings],
    ) -> StructuralFit:
        """Fit all equations to the table.

        The posterior is a product over districts (groups of nodes that share hidden causes), so the
        districts are sampled separately.

        Parameters
        ----------
        rng_key
            Random key, or an integer seed. The draws of a district depend on it and on the names of
            its nodes.
        progress, num_prior_draws, num_warmup, num_samples, num_chains, target_accept, \
max_tree_depth, chain_method, precision, block
            As in :meth:`mmm_bayes.fit.MMM.fit`.

        Returns
        -------
        StructuralFit

        Raises
        ------
        DataError
            If nodes share a hidden cause, and the table has several geos or the likelihood of one
            of these nodes is not Gaussian.
        """
        if findings := self._joint_findings():
            raise DataError(findings, "the structural model")
        rng_key = as_key(rng_key)
        equations: dict[str, FitResult] = {}
        correlations: dict[tuple[str, ...], xr.DataArray] = {}
        reporter = choose_progress(progress)
        for district in self.districts:
            key = jax.random.fold_in(rng_key, zlib.crc32("\n".join(district).encode()))
            reporter.message(f"equation of {', '.join(district)}")
            if len(district) == 1:
                model = self.models[district[0]]
                equations[district[0]] = model.fit(
                    key, progress=reporter, num_prior_draws=num_prior_draws, **settings
                )
                continue
            with contextlib.closing(reporter):
                found, correlation = self._fit_jointly(
                    key, district, reporter, num_prior_draws, given(settings)
                )
            equations |= found
            correlations[district] = correlation
        order = [node for node in self.graph.topological_order() if node in equations]
        return StructuralFit(
            self.data, self.graph, self.media, {n: equations[n] for n in order}, correlations
        )

    def _joint_findings(self) -> list[Finding]:
        findings = []
        for district in self.districts:
            if len(district) == 1:
                continue
            families = {n: self.models[n].spec.likelihood for n in district}
            odd = [n for n, own in families.items() if not own.is_gaussian]
            if odd:
                findings.append(
                    Finding(
                        "likelihood", "error",
                        f"{odd[0]!r} shares a hidden cause with other nodes, but its likelihood is "
                        f"{families[odd[0]].family!r}.",
                        'Set likelihood.family to "normal" or "log_normal".', odd[0],
                    )
                )  # fmt: skip
            if not self.data.is_national and self.data.num_geos > 1:
                findings.append(
                    Finding(
                        "geo", "error",
                        f"{listing(district)} share hidden causes, but correlated errors require "
                        "national data.",
                        "Sum the table over geos, or add the common cause to it as a column.",
                        district[0],
                    )
                )  # fmt: skip
        return findings

    def _fit_jointly(
        self,
        rng_key: jax.Array,
        nodes: tuple[str, ...],
        reporter: Progress,
        num_prior_draws: int,
        settings: Mapping[str, Any],
    ) -> tuple[dict[str, FitResult], xr.DataArray]:
        """Sample a district; return one fit per equation, and the correlations of their errors."""
        began = time.perf_counter()
        sampler = mcmc.SamplerSpec.model_validate(self.spec.sampler.model_dump() | dict(settings))
        models = [
            MMM(self.models[n].data, self.models[n].spec.evolve(sampler=sampler)) for n in nodes
        ]
        key_run, key_block, key_after = jax.random.split(rng_key, 3)
        place = {node: position for position, node in enumerate(nodes)}
        pairs = tuple((place[a], place[b]) for a, b in self.graph.bidirected if a in place)
        district = structural.District(nodes, tuple(m.structure for m in models), pairs)
        program = structural.district_program(district, sampler.real)
        with jax.enable_x64(sampler.real == "float64"):
            each = [model.arrays() for model in models]
            arrays: Any = structural.join_arrays(district, each)
            draws = mcmc.sample(
                key_run,
                program.sampler(arrays),
                arrays,
                program.layout(arrays).start,
                sampler,
                reporter,
            )
            chains = draws.positions.shape[0]
            positions = draws.positions.reshape(-1, draws.positions.shape[-1])
            params = program.parameters(key_block, positions, arrays)
            own = program.by_node(params)
            found = {}
            for node, model, observed in zip(nodes, models, each, strict=True):
                keys = jax.random.split(jax.random.fold_in(key_after, place[node]))
                groups = model.groups_of(
                    (keys[0], keys[1]),
                    model.program(),
                    own[node],
                    observed,
                    chains,
                    num_prior_draws,
                )
                groups["sample_stats"] = tree.sample_stats(draws, sampler.max_tree_depth)
                groups["posterior"].attrs |= {
                    "inference": f"NUTS, jointly with {listing(set(nodes) - {node})}",
                    "warmup_steps": draws.warmup_steps.tolist(),
                    "wall_seconds": time.perf_counter() - began,
                }
                result = xr.DataTree.from_dict(groups | tree.data_groups(model.data))
                found[node] = FitResult(Fitted(model.spec, model.data, result))
        shape = (chains, -1, len(nodes), len(nodes))
        correlation = xr.DataArray(
            params["error_correlation"].reshape(shape),
            {"node": list(nodes), "other": list(nodes)},
            (*_DRAWS, "node", "other"),
            "error_correlation",
        )
        return found, correlation
