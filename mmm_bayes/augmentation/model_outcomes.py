r"""Outcomes of augmented rows from the model itself, restricted to the target's Markov pillow.

Kernels and smooth regressions ignore adstock, saturation and positive effects, and with few
collinear weeks they blur the effects of single channels. The media-mix model is a far better
estimate of :math:`P(\mathrm{target} \mid \mathrm{pillow})`. It is fitted with only the channels and
controls in the target's Markov pillow, and each augmented row takes its outcome from a different
draw of the posterior predictive, so that the augmented rows carry the uncertainty of the
parameters.

The target must be drawn last: no variable may be drawn given an outcome that is replaced later.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from mmm_bayes.data.scaling import fit_scaling
from mmm_bayes.data.schema import MMMData
from mmm_bayes.inference import mcmc
from mmm_bayes.model import arrays as model_arrays
from mmm_bayes.model.arrays import AddedRows
from mmm_bayes.model.baseline import TimeFrame
from mmm_bayes.model.priors import PriorSpec
from mmm_bayes.model.program import program_for
from mmm_bayes.model.spec import ChannelSpec, ModelSpec
from mmm_bayes.model.structure import Structure, structure_of
from mmm_bayes.runtime.findings import Finding, listing

NDArray = np.ndarray[Any, Any]

MODEL = "model"
_DRAWS = 200  # posterior draws that the rows take their outcomes from, in turn
_ITERATIONS = 500


def check_model_outcomes(
    pillow: tuple[str, ...], order: tuple[str, ...], channels: tuple[str, ...], target: str
) -> list[Finding]:
    """List the reasons why the model cannot draw the outcomes."""
    found = []
    if order[-1] != target:
        after = order[order.index(target) + 1 :]
        found.append(
            Finding(
                "target_not_last",
                "error",
                f"Outcomes drawn from the model require that {target!r} comes last, but "
                f"{listing(after)} are drawn after it.",
                f"Give an order= that ends with {target!r}, or, if it has effects in the graph, "
                f"estimator={{{target!r}: 'kernel'}}.",
                target,
            )
        )
    if not set(pillow) & set(channels):
        found.append(
            Finding(
                "no_channel",
                "error",
                f"{target!r} does not depend on any channel in the graph.",
                f"Add edges from channels, or use estimator={{{target!r}: 'kernel'}}.",
                target,
            )
        )
    return found


def restricted(
    spec: ModelSpec, data: MMMData, pillow: tuple[str, ...]
) -> tuple[ModelSpec, MMMData]:
    """Restrict a model and its table to the channels and controls of a pillow."""
    channels = [name for name in data.channels if name in pillow]
    controls = [name for name in data.controls if name in pillow]
    own = {name: part for name, part in spec.channels.items() if name in channels}
    priors = {name: part for name, part in spec.controls.priors.items() if name in controls}
    smaller = spec.evolve(
        channels=own, controls=spec.controls.model_copy(update={"priors": priors})
    )
    return smaller, MMMData(data.ds.sel(channel=channels, control=controls))


def with_exclusions(spec: ModelSpec, data: MMMData, pillow: tuple[str, ...]) -> ModelSpec:
    """Remove the effects of channels and controls outside a pillow from a model.

    Their coefficients become the constant zero.
    """
    zero = PriorSpec(dist="constant", value=0.0)
    own = dict(spec.channels)
    for name in [name for name in data.channels if name not in pillow]:
        part = own.get(name, ChannelSpec())
        priors = part.priors | {"beta": zero}
        own[name] = part.model_copy(update={"effect": "coefficient", "priors": priors})
    outside = dict.fromkeys([name for name in data.controls if name not in pillow], zero)
    controls = spec.controls.model_copy(update={"priors": spec.controls.priors | outside})
    return spec.evolve(channels=own, controls=controls)


def draw_outcomes(
    rng_key: jax.Array,
    structure: Structure,
    data: MMMData,
    pillow: tuple[str, ...],
    rows: AddedRows,
) -> NDArray:
    """Draw scaled outcomes (geo, row) for rows to be added to the table of a model.

    Parameters
    ----------
    rng_key
        Random key.
    structure, data
        The full model and its table.
    pillow
        Variables that the target depends on.
    rows
        The rows, for the full model; their targets are ignored.
    """
    spec, smaller = restricted(structure.spec, data, pillow)
    own = structure_of(spec, smaller.channels, smaller.controls, smaller.num_geos)
    arrays = model_arrays.training_arrays(
        own,
        smaller,
        fit_scaling(smaller, spec.likelihood.link),
        TimeFrame.from_data(smaller),
        np.dtype(spec.sampler.real),
    )
    key_run, key_block, key_outcome = jax.random.split(rng_key, 3)
    program = program_for(own, True, spec.sampler.real)
    sampler = spec.sampler.model_copy(
        update={"num_warmup": _ITERATIONS, "num_samples": _ITERATIONS}
    )
    draws = mcmc.sample(
        key_run, program.sampler(arrays), arrays, program.layout(arrays).start, sampler
    )
    positions = draws.positions.reshape(-1, draws.positions.shape[-1])
    kept = np.linspace(0, len(positions) - 1, _DRAWS).round().astype(int)
    params = program.parameters(key_block, positions[kept], arrays)
    n = arrays.target.shape[1]
    ones = np.ones((rows.target.shape[0], n + rows.target.shape[1]))
    added = _restricted_rows(rows, structure, own)
    extended = model_arrays.augmented_arrays(own, arrays, added, ones)
    replicated = program.outcomes(key_outcome, params, extended, lambda drawn, _: (drawn,))[0]
    new = replicated[:, :, n:]
    each = np.arange(new.shape[2]) % len(kept)
    return np.moveaxis(new, 0, 2)[:, np.arange(new.shape[2]), each]


def _restricted_rows(rows: AddedRows, structure: Structure, own: Structure) -> AddedRows:
    channels = [structure.channels.index(name) for name in own.channels]
    controls = [structure.controls.index(name) for name in own.controls]
    return rows._replace(media=rows.media[channels], controls=rows.controls[..., controls])
