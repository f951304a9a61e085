"""The model as compiled programs over a flat vector: potential, parameters and outcomes of draws.

A :class:`Program` belongs to a structure, not to a table: data are arguments, and programs are
cached between fits, so that another table of the same shape is fitted without compiling again.
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpyro.infer.util import log_density

from mmm_bayes.inference.marginal import GroupedBlock
from mmm_bayes.inference.mcmc import NUTSProgram
from mmm_bayes.inference.sharding import GEO
from mmm_bayes.inference.tracing import compile_program, tracing
from mmm_bayes.model.generative import generative
from mmm_bayes.model.layout import Layout, Params, Site
from mmm_bayes.model.linear_block import draw_linear_block
from mmm_bayes.model.predictor import linear_predictor, observation
from mmm_bayes.model.priors import PriorSpec
from mmm_bayes.model.sites import control_scale_priors
from mmm_bayes.model.structure import ModelArrays, Structure

Array = jax.Array
NDArray = np.ndarray[Any, Any]

_BATCH = 100  # largest number of draws that a device evaluates together
_BATCH_BYTES = 256 * 2**20  # of intermediate arrays; larger models evaluate fewer draws together
_REPLICATED = PartitionSpec()  # every device holds the whole array
_STANDARD = PriorSpec(dist="normal", loc=0.0, scale=1.0)


class Program:
    """Compiled programs of one model structure, in the marginal or the plain form."""

    def __init__(self, structure: Structure, marginal: bool) -> None:
        self.structure = structure
        self.marginal = marginal and structure.is_marginal
        self._layout: Layout | None = None
        self._sampler: NUTSProgram | None = None
        self._lock = threading.Lock()
        self._compiled: dict[Any, Any] = {}

    def model(self, arrays: ModelArrays) -> None:
        """State the NumPyro model that is sampled."""
        generative(self.structure, arrays, marginal=self.marginal)

    def priors(self) -> dict[str, Sequence[PriorSpec]]:
        """Return the priors of the sampled sites; sites that are not named are standard normal."""
        return site_priors(self.structure)

    def layout(self, arrays: Any) -> Layout:
        """Return the sites of the sampled vector, found by one abstract run of the model."""
        if self._layout is None:
            found: list[tuple[str, tuple[int, ...], Any]] = []

            def visit(key: Array, arrays: ModelArrays) -> None:
                seeded = numpyro.handlers.seed(self.model, key)
                trace = numpyro.handlers.trace(seeded).get_trace(arrays)
                for name, site in trace.items():
                    if site["type"] == "sample" and not site["is_observed"]:
                        found.append((name, tuple(site["value"].shape), site["fn"].support))

            with tracing():
                jax.eval_shape(visit, jax.random.key(0), arrays)
            priors = self.priors()
            sites: list[Site] = []
            for name, shape, support in found:
                start = sites[-1].stop if sites else 0
                own = tuple(priors.get(name, (_STANDARD,)))
                own = own[:1] if len(set(own)) == 1 else own
                base = getattr(support, "base_constraint", support)
                sites.append(Site(name, start, shape, base, own))
            self._layout = Layout(tuple(sites))
        return self._layout

    def potential(self, position: Array, arrays: ModelArrays) -> Array:
        """Return the negative log density of an unconstrained vector."""
        params, volume = self.layout(arrays).constrain_with_volume(position)
        return -(log_density(self.model, (arrays,), {}, params)[0] + volume)

    def not_finite(self, arrays: ModelArrays) -> str:
        """Say which terms of the log density are not finite at the prior medians."""
        layout = self.layout(arrays)
        position = layout.start(np.random.default_rng(0), 0.0).astype(arrays.target.dtype)
        with tracing(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # out-of-support values
            params = layout.constrain(jnp.asarray(position))
            fixed = numpyro.handlers.substitute(
                numpyro.handlers.seed(self.model, jax.random.key(0)), data=params
            )
            trace = numpyro.handlers.trace(fixed).get_trace(jax.tree.map(jnp.asarray, arrays))
            parts = {
                name: float(jnp.sum(site["fn"].log_prob(site["value"])))
                for name, site in trace.items()
                if site["type"] == "sample"
            }
        bad = [f"{name} ({value:g})" for name, value in parts.items() if not np.isfinite(value)]
        if not bad:
            return "At the prior medians every term is finite."
        return f"At the prior medians these terms are not finite: {', '.join(bad)}."

    def sampler(self, arrays: ModelArrays) -> NUTSProgram:
        """Return the compiled sampler of this model."""
        if self._sampler is None:
            self._sampler = NUTSProgram(self.potential, self.layout(arrays).dim)
        return self._sampler

    def resolve(self, params: Params, arrays: ModelArrays) -> Params:
        """Add the deterministic sites: assembled vectors and coefficients."""
        seeded = numpyro.handlers.seed(self.model, jax.random.key(0))
        fixed = numpyro.handlers.substitute(seeded, data=params)
        trace = numpyro.handlers.trace(fixed).get_trace(arrays)
        extra = {n: site["value"] for n, site in trace.items() if site["type"] == "deterministic"}
        return {name: x for name, x in (params | extra).items() if not _is_internal(name)}

    def from_position(self, rng_key: Array, position: Array, arrays: ModelArrays) -> Params:
        """Return all scaled parameters of one unconstrained draw, the linear block drawn back."""
        params = self.resolve(self.layout(arrays).constrain(position), arrays)
        if self.marginal:
            params = draw_linear_block(self.structure, rng_key, params, arrays)
        return params

    def parameters(
        self,
        rng_key: Array,
        positions: NDArray,
        arrays: ModelArrays,
        devices: Sequence[jax.Device] = (),
    ) -> dict[str, NDArray]:
        """Return all scaled parameters of unconstrained draws (n, dim), linear block drawn back.

        Draws are spread over ``devices`` of this process, as in :meth:`outcomes`.
        """
        return self._batched(
            "parameters", self.from_position, arrays, rng_key, positions, devices=devices
        )

    def prior(self, rng_key: Array, arrays: ModelArrays, draws: int) -> dict[str, NDArray]:
        """Draw all scaled parameters from the prior. The program must be the plain one."""
        seed = np.asarray(jax.random.bits(rng_key, (4,), "uint32"))
        sites = self.layout(arrays).prior_draws(np.random.default_rng(seed), draws)
        dtype = arrays.target.dtype
        sites = {name: value.astype(dtype) for name, value in sites.items()}
        run = lambda key, sites, arrays: self.resolve(sites, arrays)  # noqa: E731
        return self._batched("prior", run, arrays, rng_key, sites)

    def _outcome(self, rng_key: Array, params: Params, arrays: ModelArrays) -> tuple[Array, Array]:
        eta = linear_predictor(self.structure, params, arrays)
        outcome = observation(self.structure, params, eta, arrays.log_offset)
        return outcome.sample(rng_key), outcome.log_prob(arrays.target)

    def outcomes(
        self,
        rng_key: Array,
        params: dict[str, NDArray],
        arrays: ModelArrays,
        keep: Callable[[NDArray, NDArray], Any],
        devices: Sequence[jax.Device] = (),
    ) -> Any:
        """Compute replicated scaled targets and log likelihoods of parameter draws, in batches.

        ``keep`` maps a batch of both (n, geo, time) to the arrays that are kept.
        """
        arrays = arrays._replace(block=None, likelihood_weight=None, experiments=None)
        return self._batched("outcomes", self._outcome, arrays, rng_key, params, keep, devices)

    def compile_ahead(
        self,
        arrays: ModelArrays,
        observed: ModelArrays | None = None,
        devices: Sequence[jax.Device] = (),
    ) -> None:
        """Compile the programs used after sampling, while the sampler runs.

        Parameters
        ----------
        arrays
            Arrays that the model is conditioned on.
        observed
            Arrays of the table alone, if rows were added: outcomes are computed for these.
        devices
            Devices that will be used.
        """
        positions = np.zeros((1, self.layout(arrays).dim), arrays.target.dtype)
        key = jax.random.key(0)
        params = self.parameters(key, positions, arrays, devices)
        table = arrays if observed is None else observed
        self.outcomes(key, params, table, lambda *both: both, devices)

    def _batched(
        self,
        name: str,
        function: Callable[..., Any],
        arrays: ModelArrays,
        rng_key: Array,
        draws: Any,
        keep: Callable[..., Any] | None = None,
        devices: Sequence[jax.Device] = (),
    ) -> Any:
        """Evaluate ``function(key, draw, arrays)`` over leading axes, one batch at a time."""
        count = len(jax.tree.leaves(draws)[0])
        keys = jax.random.split(rng_key, count)
        size = self.batch_size(arrays) * max(1, len(devices))
        mesh = Mesh(np.array(devices), ("draw",)) if len(devices) > 1 else None
        arrays = jax.device_put(arrays, None if mesh is None else NamedSharding(mesh, _REPLICATED))
        result: Any = None
        for start in range(0, count, size):
            # The last batch is padded with its own first row, so that one program serves all.
            index = np.arange(start, start + size)
            index = np.where(index < count, index, start)
            batch = jax.tree.map(lambda x, index=index: x[index], draws)
            run = self._compile(name, function, arrays, batch, mesh)
            made = min(size, count - start)
            piece = jax.tree.map(
                lambda x, made=made: np.asarray(x)[:made], run(keys[index], batch, arrays)
            )
            piece = piece if keep is None else keep(*piece)
            # Filled in place: concatenating pieces at the end would need the memory twice.
            if result is None:
                result = jax.tree.map(lambda x: np.empty((count, *x.shape[1:]), x.dtype), piece)
            for whole, part in zip(jax.tree.leaves(result), jax.tree.leaves(piece), strict=True):
                whole[start : start + made] = part
        return result

    def batch_size(self, arrays: Any) -> int:
        """Return the number of draws evaluated together: see :func:`batch_size`."""
        return batch_size(arrays)

    def _compile(
        self,
        name: str,
        function: Callable[..., Any],
        arrays: ModelArrays,
        batch: Any,
        mesh: Mesh | None,
    ) -> Any:
        key = (name, _shapes(arrays), _shapes(batch), mesh)
        with self._lock:
            if key not in self._compiled:
                count = len(jax.tree.leaves(batch)[0])
                keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), count))
                run: Any = jax.vmap(function, in_axes=(0, 0, None))
                if mesh is not None:
                    lead = PartitionSpec("draw")
                    run = jax.shard_map(
                        run, mesh=mesh, in_specs=(lead, lead, _REPLICATED), out_specs=lead,
                        check_vma=False,
                    )  # fmt: skip
                self._compiled[key] = compile_program(jax.jit(run), keys, batch, arrays)
            return self._compiled[key]


def batch_size(arrays: ModelArrays) -> int:
    """Return the number of draws that a device evaluates together: 100, or fewer to save memory.

    A draw holds its media after adstock and after saturation, each (channel, geo, time), and about
    six arrays (geo, time).
    """
    channels = arrays.media.shape[0]
    draw = (2 * channels + 6) * arrays.target.size * arrays.target.dtype.itemsize
    return int(np.clip(_BATCH_BYTES // draw, 1, _BATCH))


def geo_specs(arrays: ModelArrays) -> ModelArrays:
    """Return how each array is split over the geo axis of a device mesh."""
    whole = jax.tree.map(lambda _: _REPLICATED, arrays)
    first = PartitionSpec(GEO)
    block = arrays.block
    along = first if isinstance(block, GroupedBlock) else _REPLICATED
    block = jax.tree.map(lambda _: along, block)
    return whole._replace(
        media=PartitionSpec(None, GEO),
        design=first,
        target=first,
        log_offset=first,
        block=block,
        likelihood_weight=None if arrays.likelihood_weight is None else first,
    )


@functools.lru_cache(maxsize=32)
def program_for(structure: Structure, marginal: bool, precision: str) -> Program:
    """Return the program of a structure, cached between fits (one per precision)."""
    return Program(structure, marginal)


def site_priors(structure: Structure) -> dict[str, Sequence[PriorSpec]]:
    """Return the priors of sites by name; sites that are not named are standard normal.

    All sites are independent a priori: dependence (geo, process) enters by deterministic scaling.
    """
    spec = structure.spec
    named: dict[str, Sequence[PriorSpec]] = {
        "sigma": [spec.likelihood.sigma],
        "nu": [spec.likelihood.nu],
        "dispersion": [spec.likelihood.dispersion],
        "trend_amplitude": [spec.trend.amplitude],
        "trend_length": [spec.trend.length],
        "intercept_geo_scale": [spec.geo.intercept_scale],
        "media_geo_scale": [spec.geo.media_scale],
    }
    vectors: list[tuple[str, Sequence[PriorSpec]]]
    vectors = [(p.site, p.priors) for p in structure.media.parameters]
    vectors.append(("control_geo_scale", control_scale_priors(structure)))
    vectors += [(t.site, t.priors) for t in structure.terms if not t.scaled_by_process]
    for site, priors in vectors:
        named[site] = priors
        for family in {prior.dist for prior in priors}:
            named[f"{site}__{family}"] = [prior for prior in priors if prior.dist == family]
    return named


def _is_internal(name: str) -> bool:
    """Return whether a site is only part of a vector, or a standardised coefficient."""
    site = name.rpartition("/")[2]  # sites of a system start with "node/"
    return "__" in site and site != "coefficient__geo"


def _shapes(tree: Any) -> tuple[Any, ...]:
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple((np.shape(x), str(x.dtype)) for x in leaves)
