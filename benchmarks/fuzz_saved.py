"""Saved files that disagree with themselves: parts changed, and checksums made anew.

Flipped bits (``fuzz_binary``) are found by their checksums. Here a program has changed the content
on purpose, or with a bug, and has written a file that is sound as a file: only the parts do not
belong together.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz_binary
import fuzz_inputs as inputs
import numpy as np
import tomli_w
import xarray as xr
from fuzz_inputs import Rng, few, pick

import mmm_bayes as mb
from mmm_bayes.runtime.artifact import Artifact, read_artifact, write_artifact
from mmm_bayes.runtime.netcdf_file import read_tree, write_tree

_NUMBERS = (np.nan, np.inf, -np.inf, 1e308, -1.0, 0.0)
_LABELS = ("zz", "", "tv", "national", "\x00", "名前")
_SPEC_KEYS = (
    "media", "adstock", "saturation", "effect", "trend", "kind", "likelihood", "family", "geo",
    "seasonality", "period", "order", "controls", "channels", "priors", "max_lag", "name",
)  # fmt: skip
_SPEC: dict[str, Any] = {
    "name": "small",
    "media": {"max_lag": 3, "adstock": "geometric", "saturation": "hill", "effect": "coefficient"},
    "trend": {"kind": "linear"},
    "likelihood": {"family": "normal"},
    "sampler": {"num_samples": 4},
}

Tree = xr.DataTree


@functools.cache
def _sound_tree() -> Tree:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fit.nc"
        path.write_bytes(fuzz_binary.sound("fit"))
        return read_tree(path)[0]


def _saved(tree: Tree, kind: str = "fit") -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write_tree(tree, Path(folder) / "fit.nc", kind, 1).read_bytes()


# --- Changes of a tree ---------------------------------------------------------------------------


def _some_group(rng: Rng, groups: dict[str, xr.Dataset]) -> str:
    return str(pick(rng, sorted(name for name in groups if groups[name].data_vars)))


def _some_variable(rng: Rng, ds: xr.Dataset) -> str:
    return str(pick(rng, sorted(map(str, ds.data_vars))))


def _drop_group(rng: Rng, groups: dict[str, xr.Dataset]) -> None:
    del groups[_some_group(rng, groups)]


def _swap_groups(rng: Rng, groups: dict[str, xr.Dataset]) -> None:
    one, other = _some_group(rng, groups), _some_group(rng, groups)
    groups[one], groups[other] = groups[other], groups[one]


def _drop_variable(rng: Rng, groups: dict[str, xr.Dataset]) -> None:
    name = _some_group(rng, groups)
    groups[name] = groups[name].drop_vars(_some_variable(rng, groups[name]))


def _rename_variable(rng: Rng, groups: dict[str, xr.Dataset]) -> None:
    name = _some_group(rng, groups)
    groups[name] = groups[name].rename({_some_variable(rng, groups[name]): "renamed"})


def _cell(rng: Rng, groups: dict[str, xr.Dataset]) -> None:
    name = _some_group(rng, groups)
    variable = _some_variable(rng, groups[name])
    values = np.array(groups[name][variable].values)
    if values.dtype.kind == "f" and values.size:
        values.reshape(-1)[int(rng.integers(values.size))] = pick(rng, _NUMBERS)
        groups[name][variable] = (groups[name][variable].dims, values)


def _retype(rng: Rng, groups: dict[str, xr.Dataset]) -> None:
    name = _some_group(rng, groups)
    variable = _some_variable(rng, groups[name])
    with np.errstate(invalid="ignore"):
        values = groups[name][variable].values.astype(pick(rng, ("f4", "i4", "U5", "i1")))
    groups[name][variable] = (groups[name][variable].dims, values)


def _shorten(rng: Rng, groups: dict[str, xr.Dataset]) -> None:
    name = _some_group(rng, groups)
    if not groups[name].sizes:
        return
    dim = str(pick(rng, sorted(map(str, groups[name].sizes))))
    size = groups[name].sizes[dim]
    keep = slice(int(rng.integers(size + 1)), None) if rng.random() < 0.5 else slice(None, None, -1)
    groups[name] = groups[name].isel({dim: keep})


def _relabel(rng: Rng, groups: dict[str, xr.Dataset]) -> None:
    name = _some_group(rng, groups)
    sizes = groups[name].sizes
    dims = [str(dim) for dim in sizes if sizes[dim] and dim in groups[name].coords]
    if dims:
        dim = str(pick(rng, sorted(dims)))
        labels = list(groups[name][dim].values)
        labels[int(rng.integers(len(labels)))] = pick(rng, _LABELS)
        if groups[name][dim].dtype.kind in "OUT":
            groups[name] = groups[name].assign_coords({dim: np.array(labels, object)})
        else:
            groups[name] = groups[name].assign_coords({dim: groups[name][dim].values[::-1]})


def _transpose(rng: Rng, groups: dict[str, xr.Dataset]) -> None:
    name = _some_group(rng, groups)
    groups[name] = groups[name].transpose()


_GROUP_CHANGES: tuple[Callable[[Rng, dict[str, xr.Dataset]], None], ...] = (
    _drop_group, _swap_groups, _drop_variable, _rename_variable, _cell, _cell, _retype, _shorten,
    _relabel, _transpose,
)  # fmt: skip


def _attribute(rng: Rng, attrs: dict[Any, Any]) -> None:
    if not attrs:
        return
    name = str(pick(rng, sorted(map(str, attrs))))
    if rng.random() < 0.3:
        del attrs[name]
    elif isinstance(attrs[name], str):
        try:
            values = json.loads(attrs[name])
            changed = inputs.perturb(rng, values, ("exposure", "spend", "controls", "date", "tv"))
            attrs[name] = json.dumps(changed, default=str)
        except (ValueError, TypeError, AttributeError):
            attrs[name] = str(pick(rng, ("", "x", "[]", "nan", attrs[name][::2])))
    else:
        attrs[name] = pick(rng, (0, -1, 99, "x"))


def _spec_text(rng: Rng) -> str:
    tree = inputs.perturb(rng, copy.deepcopy(_SPEC), _SPEC_KEYS)
    try:
        return tomli_w.dumps(tree).encode("utf-8", "replace").decode().replace("\x00", "")
    except (TypeError, AttributeError, ValueError):
        return "x = 1"


def changed_fit(rng: Rng, tree: Tree | None = None) -> bytes:
    """Return a fit with up to three changes of its parts, and with checksums that are right."""
    tree = _sound_tree() if tree is None else tree
    groups = {name: tree[name].to_dataset().copy(deep=True) for name in tree.children}
    attrs = dict(tree.attrs)
    for _ in range(few(rng)):
        chance = rng.random()
        if chance < 0.15:
            attrs["mmm_bayes_spec"] = _spec_text(rng)
        elif chance < 0.25 and groups:
            _attribute(rng, groups[_some_group(rng, groups)].attrs)
        elif chance < 0.3:
            _attribute(rng, attrs)
        elif any(ds.data_vars for ds in groups.values()):
            with contextlib.suppress(Exception):  # what xarray itself cannot hold is no input
                pick(rng, _GROUP_CHANGES)(rng, groups)
    made = Tree.from_dict(groups)
    made.attrs = attrs
    try:
        return _saved(made)
    except (TypeError, ValueError):  # no file can hold this
        return fuzz_binary.sound("fit")


# --- Zips ----------------------------------------------------------------------------------------


@functools.cache
def _sound_artifact(kind: str) -> Artifact:
    names = {"structural": ("structural fit", 1), "causal mmm": ("CausalMMM", 99)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "whole.zip"
        path.write_bytes(fuzz_binary.sound(kind))
        return read_artifact(path, *names[kind], belongs=lambda name: True)


def _array(rng: Rng, values: Any) -> Any:
    values = np.array(values)
    kind = int(rng.integers(5))
    if kind == 0 and values.dtype.kind == "f" and values.size:
        values.reshape(-1)[int(rng.integers(values.size))] = pick(rng, _NUMBERS)
    elif kind == 1 and values.ndim:
        values = values[: int(rng.integers(len(values) + 1))]
    elif kind == 2:
        values = values.T
    elif kind == 3:
        with np.errstate(invalid="ignore"):
            values = values.astype(pick(rng, ("f4", "i4", "U4", "?")))
    else:
        values = values[None]
    return values


def changed_zip(rng: Rng, kind: str) -> bytes:
    """Return a zip with up to three changes of its members, and with checksums that are right."""
    sound = _sound_artifact(kind)
    arrays, files = dict(sound.arrays), dict(sound.files)
    about = copy.deepcopy(dict(sound.about))
    for _ in range(few(rng)):
        chance = rng.random()
        if chance < 0.4:
            about = inputs.perturb(rng, about, tuple(sound.about))
            about = about if isinstance(about, dict) else {}
        elif arrays:
            name = str(pick(rng, sorted(arrays)))
            if rng.random() < 0.2:
                del arrays[name]
            else:
                arrays[name] = _array(rng, arrays[name])
        elif files:
            name, other = str(pick(rng, sorted(files))), str(pick(rng, sorted(files)))
            if chance < 0.55:
                del files[name]
            elif chance < 0.7:
                files[name], files[other] = files[other], files[name]
            else:
                files[name] = changed_fit(rng, _member(files[name]))
    try:
        about = json.loads(json.dumps(about, allow_nan=False))
        made = Artifact(sound.kind, sound.format, arrays, about, files)
        with tempfile.TemporaryDirectory() as folder:
            return write_artifact(Path(folder) / "x.zip", made).read_bytes()
    except (TypeError, ValueError):  # no record can hold this
        return fuzz_binary.sound(kind)


def _member(content: bytes) -> Tree:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "member.nc"
        path.write_bytes(content)
        return read_tree(path)[0]


# --- What is accepted ----------------------------------------------------------------------------


def sound_fit(fit: mb.FitResult) -> None:
    """Check that an accepted fit answers questions with numbers."""
    fuzz_binary.sound_fit(fit)
    params, _, _ = fit.fitted.scaled()
    for name, values in params.items():
        assert values.shape[0] == fit.tree["posterior"].sizes["draw"], name
    assert fit.fitted.lift_tests is not None
    assert np.isfinite(np.asarray(fit.fitted.arrays.design)).all()
