"""Check that the parts of a saved fit belong together: specification, table, draws, diagnostics.

A file with right checksums can still disagree with itself, if a program changed it. Without these
checks it would load, and fail later or give wrong numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from mmm_bayes.data.cell_values import LARGEST
from mmm_bayes.data.lift_exposure import place_tests
from mmm_bayes.data.lift_tests import from_json
from mmm_bayes.data.schema import MMMData
from mmm_bayes.model import tree as labels
from mmm_bayes.model.checks import check_model
from mmm_bayes.model.spec import ModelSpec
from mmm_bayes.model.structure import Structure, structure_of
from mmm_bayes.runtime.findings import DataError, Finding, listing, nearest
from mmm_bayes.runtime.text_file import TextError, parse_toml
from mmm_bayes.transforms import ADSTOCKS, SATURATIONS

NDArray = np.ndarray[Any, Any]

_REQUIRED = ("posterior", "observed_data", "constant_data")
_PARAMETERS = ("posterior", "prior")
_ROWS = ("posterior_predictive", "prior_predictive", "log_likelihood")
_OF_POSTERIOR = ("posterior_predictive", "log_likelihood", "sample_stats")
# Draws of wide priors may overflow.
_MAY_OVERFLOW = ("prior", "prior_predictive")


def missing_transforms(text: str) -> list[Finding]:
    """Return a finding for every transform of a specification that this process does not know."""
    try:
        content = parse_toml(text)
    except TextError:
        return []
    channels = content.get("channels")
    scopes = [content.get("media"), *(channels.values() if isinstance(channels, dict) else ())]
    found = {}
    for kind, known in (("adstock", ADSTOCKS), ("saturation", SATURATIONS)):
        for scope in scopes:
            name = scope.get(kind) if isinstance(scope, dict) else None
            if isinstance(name, str) and name not in (*known, "none"):
                table = f"mmm_bayes.transforms.{kind.upper()}S"
                found[kind, name] = Finding(
                    "unknown_transform",
                    "error",
                    f"The model uses the {kind} {name!r}, which is not among {table}.",
                    f"If it is your own, add it to {table} as the program did that made the fit, "
                    "and load the file again; if it is of a later version, update mmm_bayes.",
                    where=kind,
                )
    return list(found.values())


def table_findings(tree: xr.DataTree) -> list[Finding]:
    """Return what keeps the groups of a tree from being a table."""
    found = [
        _finding("missing_group", name, f"The group {name} is missing.")
        for name in _REQUIRED
        if name not in tree.children
    ]
    if found:
        return found
    constant, observed = (tree[name].to_dataset() for name in ("constant_data", "observed_data"))
    if "target" not in observed:
        return [_finding("missing_variable", "observed_data/target", "The target is missing.")]
    for dim in ("geo", "date"):
        found += _label_findings("observed_data", observed, dim, constant.indexes.get(dim))
    return found


def fit_findings(spec: ModelSpec, data: MMMData, tree: xr.DataTree) -> list[Finding]:
    """Return every finding about parts of a fit that do not belong together."""
    found = [*_roles(data), *_data_values(data)]
    if not found:
        try:
            check_model(spec, data)
        except DataError as error:
            found += error.findings
    if found:  # what follows builds on a sound table
        return found
    structure = structure_of(spec, data.channels, data.controls, data.num_geos)
    coordinates = labels.coordinates(structure, data)
    for name in tree.children:
        group = tree[name].to_dataset()
        if name in _PARAMETERS:
            found += _parameters(name, group, structure, coordinates)
        elif name in _ROWS:
            found += _rows(name, group, coordinates)
        found += _draws(name, group, tree["posterior"].to_dataset())
        found += _finite(name, group)
    return [*found, *_lift_tests(data, tree)]


def parameter_names(structure: Structure) -> list[str]:
    """List the parameters that the draws of a model have."""
    names = [parameter.site for parameter in structure.media.parameters]
    names += [term.site for term in structure.terms]
    if structure.geo_media != "pooled":
        names.append("media_geo_scale")
    if structure.geo_media != "pooled" or set(structure.media.effects) - {"coefficient"}:
        names.append("beta_geo")
    if any(term.scaled_by_process for term in structure.terms):
        names += ["trend_amplitude", "trend_length"]
    if structure.is_geo:
        names += ["intercept_geo_scale", "intercept_geo"]
        if len(structure.geo_columns) > 1:
            names += ["control_geo_scale", "control_geo"]
    family = structure.spec.likelihood.family
    if family in ("normal", "student_t", "log_normal"):
        names.append("sigma")
    return names + {"student_t": ["nu"], "negative_binomial": ["dispersion"]}.get(family, [])


def _roles(data: MMMData) -> Iterator[Finding]:
    roles = data.roles
    for what, named, present in (
        ("channels", list(roles.exposure), data.channels),
        ("controls", list(roles.controls), data.controls),
    ):
        if named != present:
            yield _finding(
                "roles", what, f"The roles of the columns name the {what} {_names(named)}, but the "
                f"table has {_names(present)}.",
            )  # fmt: skip
    for dim in ("geo", "channel", "control"):
        own = [str(label) for label in data.ds[dim].values]
        if len(set(own)) < len(own):
            yield _finding("duplicate_label", dim, f"A label of {dim} occurs twice.")
    dates = data.dates
    if not dates.is_monotonic_increasing or not dates.is_unique or dates.hasnans:
        yield _finding("dates", "date", "The dates are not in order.")
    elif len(dates) < 2 or data.time_step.n < 1:
        yield _finding("dates", "date", "There are fewer than two dates, or no step between them.")


def _data_values(data: MMMData) -> Iterator[Finding]:
    names = ("target", "spend", "exposure", "controls", "population", "revenue_per_target")
    for name in names:
        where = f"{'observed' if name == 'target' else 'constant'}_data/{name}"
        values = data.ds[name].values
        if values.dtype.kind != "f" or not np.isfinite(values).all():
            yield _not_finite(where, values)
        elif (np.abs(values) > LARGEST).any():
            yield _finding("too_large", where, f"{where} has values of more than {LARGEST:g}.")
        elif name == "population" and (values <= 0).any():
            yield _finding("not_positive", where, "A population is not positive.")


def _parameters(
    group: str, draws: xr.Dataset, structure: Structure, coordinates: Mapping[str, Any]
) -> Iterator[Finding]:
    dims = labels.parameter_dims(structure)
    own = {name: dims.get(name, ()) for name in parameter_names(structure)}
    for name, wanted in own.items():
        yield from _variable(group, draws, name, ("chain", "draw", *wanted))
    for dim in dict.fromkeys(dim for wanted in own.values() for dim in wanted):
        yield from _label_findings(group, draws, dim, coordinates[dim])


def _rows(group: str, draws: xr.Dataset, coordinates: Mapping[str, Any]) -> Iterator[Finding]:
    yield from _variable(group, draws, "target", ("chain", "draw", "geo", "date"))
    for dim in ("geo", "date"):
        yield from _label_findings(group, draws, dim, coordinates[dim])


def _variable(
    group: str, draws: xr.Dataset, name: str, wanted: tuple[str, ...]
) -> Iterator[Finding]:
    where = f"{group}/{name}"
    if name not in draws:
        near = nearest(name, map(str, draws.data_vars))
        message = f"The draws of {group} have no {name!r}, which the specification needs.{near}"
        yield _finding("missing_variable", where, message)
        return
    values = draws[name]
    if values.dims != wanted:
        message = f"{where} has the dimensions {_names(values.dims)}, expected {_names(wanted)}."
        yield _finding("dimensions", where, message)
        return
    if values.dtype.kind != "f":
        yield _finding("type", where, f"{where} does not hold numbers ({values.dtype}).")


def _label_findings(where: str, ds: xr.Dataset, dim: str, wanted: Any) -> Iterator[Finding]:
    own = ds.indexes.get(dim)
    if own is None or wanted is None:
        yield _finding("labels", where, f"{where} has no labels of {dim}.")
    elif len(own) != len(wanted):
        message = f"{where} has {len(own)} labels of {dim}, expected {len(wanted)}."
        yield _finding("labels", where, message)
    elif list(own) != list(wanted):
        pairs = [(a, b) for a, b in zip(own, wanted, strict=True) if a != b]
        message = f"{where} has the {dim} {pairs[0][0]!s}, expected {pairs[0][1]!s}."
        yield _finding("labels", where, message)


def _draws(name: str, group: xr.Dataset, posterior: xr.Dataset) -> Iterator[Finding]:
    if name not in (*_PARAMETERS, *_ROWS, *_OF_POSTERIOR):
        return
    for dim in ("chain", "draw"):
        size = group.sizes.get(dim, 0)
        if not size:
            yield _finding("no_draws", name, f"{name} has no draws ({dim} is missing or empty).")
        elif name in _OF_POSTERIOR and size != posterior.sizes.get(dim):
            message = f"{name} has {size} along {dim}, but posterior {posterior.sizes.get(dim)}."
            yield _finding("number_of_draws", name, message)


def _finite(name: str, group: xr.Dataset) -> Iterator[Finding]:
    if name in ("constant_data", "observed_data"):  # checked with the table
        return
    for variable, values in group.data_vars.items():
        if values.dtype.kind != "f":
            continue
        wrong = np.isnan(values.values) if name in _MAY_OVERFLOW else ~np.isfinite(values.values)
        if wrong.any() and name != "prior_predictive":
            yield _not_finite(f"{name}/{variable}", values.values)


def _lift_tests(data: MMMData, tree: xr.DataTree) -> list[Finding]:
    text = tree["posterior"].attrs.get("lift_tests")
    if text is None:
        return []
    try:
        place_tests(data, from_json(str(text)))
    except DataError as error:
        return list(error.findings)
    except (ValueError, TypeError) as error:
        message = f"The lift tests of the fit cannot be read ({error})."
        return [_finding("lift_tests", "posterior", message)]
    return []


def _not_finite(where: str, values: NDArray) -> Finding:
    if values.dtype.kind != "f":
        return _finding("type", where, f"{where} does not hold numbers ({values.dtype}).")
    wrong = ~np.isfinite(values)
    first = tuple(int(i) for i in np.argwhere(wrong)[0]) if values.ndim else ()
    message = (
        f"{where} has {int(wrong.sum())} of {values.size} values that are not finite; the first is "
        f"{values[first]} at {first}."
    )
    return _finding("not_finite", where, message)


def _names(names: Any) -> str:
    return listing(map(repr, names), 12) or "none"


def _finding(check: str, where: str, message: str) -> Finding:
    return Finding(check, "error", message, where=where)
