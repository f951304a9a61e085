"""Fits of many tables, with one model or several, over processes or a cluster."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import jax
import pandas as pd

from mmm_bayes._typing import RngKey
from mmm_bayes.data.frames import is_frame
from mmm_bayes.data.schema import MMMData
from mmm_bayes.fit import MMM
from mmm_bayes.inference.settings import FitSettings, given
from mmm_bayes.inference.sharding import Devices
from mmm_bayes.many_fits.fit_cells import FitCell, Summarise, make_fit
from mmm_bayes.many_fits.fit_map import FITS, INDEX, KIND, UNFINISHED, Entry, FitMap, write_index
from mmm_bayes.model.memory import result_bytes
from mmm_bayes.model.spec import ModelSpec
from mmm_bayes.runtime.deprecation import renamed, spelled_out
from mmm_bayes.runtime.findings import DataError, DataWarning, Finding, listing
from mmm_bayes.runtime.jobs.fill import fill_store
from mmm_bayes.runtime.jobs.records import plain
from mmm_bayes.runtime.jobs.store import ResultStore
from mmm_bayes.runtime.jobs.tasks import Failure
from mmm_bayes.runtime.outputs import require_space
from mmm_bayes.runtime.progress import Progress, choose_progress
from mmm_bayes.runtime.settings import SettingsError
from mmm_bayes.runtime.streams import as_key
from mmm_bayes.runtime.warn import warn_user

if TYPE_CHECKING:
    from mmm_bayes.data.lift_tests import LiftTest

Table = MMMData | pd.DataFrame | str | os.PathLike[str]

_ONE_MODEL = "model"
# Of MMM.fit's own settings, those that hold for any table.
_OF_FIT = ("marginal", "num_prior_draws", "devices", "geo_devices", "preflight")


class MapSettings(FitSettings, total=False):
    """Arguments of :meth:`MMM.fit <mmm_bayes.fit.MMM.fit>` that hold for any table."""

    marginal: bool | None
    num_prior_draws: int | None
    devices: Devices | None
    geo_devices: int | None
    preflight: bool | None


class FitsWarning(UserWarning):
    """Some fits of a map failed."""


@renamed(prior_draws="num_prior_draws")
@spelled_out(MapSettings)
def map_fits(
    rng_key: RngKey,
    tables: Mapping[str, Table],
    spec: ModelSpec | Mapping[str, ModelSpec] | None = None,
    *,
    store: str | os.PathLike[str],
    method: str = "nuts",
    lift_tests: Mapping[str, Sequence[LiftTest]] | None = None,
    roles: Mapping[str, Any] | None = None,
    keep_fits: bool = True,
    workers: int | None = None,
    cluster: Any = None,
    retries: int = 0,
    lost_retries: int = 2,
    resources: Mapping[str, float] | None = None,
    progress: bool | Progress | None = True,
    summarise: Summarise | None = None,
    on_done: Callable[[int, int], None] | None = None,
    **settings: Unpack[MapSettings],
) -> FitMap:
    r"""Fit every table with every model, judge each fit, and keep what is finished.

    The same call again makes only what is missing, after a stop as after a change of one table.
    A fit depends on its table, model, settings, lift tests, the key and the names of table and
    model, so neither on the number of workers nor on what else is fitted: it is that of
    ``MMM(table, spec).fit(fit_key(rng_key, name), ...)``.

    Parameters
    ----------
    rng_key
        Random key; each fit has its own (:func:`~mmm_bayes.many_fits.fit_cells.fit_key`).
    tables
        Tables by name. A DataFrame, or the path of a CSV or parquet file, is read with ``roles``.
    spec
        One model, or several by name; the default one when not given.
    store
        Folder of results, made if it is not there. With ``keep_fits`` and a cluster of several
        machines all of them have to see it at this path.
    method
        ``"nuts"``, or ``"svi"`` for a quick Gaussian approximation.
    lift_tests
        Experiments by name of the table.
    roles
        Keywords of :meth:`MMMData.from_dataframe`, which tables that are no ``MMMData`` are read
        with.
    keep_fits
        Keep each fit whole, as ``fits/NAME.nc`` in the folder, for :meth:`FitMap.load`. Draws are
        then kept as they are made, too: a fit whose worker died goes on where it was.
    workers
        Processes of one thread each; 1 is this process, as it is. By default half as many as there
        are cores, since a fit's chains run beside each other.
    cluster
        ``"local"``, the address of a Dask scheduler, a ``distributed.Client`` or a cluster object.
    retries, lost_retries
        How often a fit that raised, and one whose worker died, is begun again.
    resources
        What a fit takes of a Dask worker's resources, as ``{"GPU": 1}``.
    progress
        ``True`` for a bar, or a line every 15 seconds where nobody watches; ``False``; or a
        reporter (:mod:`mmm_bayes.runtime.progress`).
    summarise
        Makes the rows of a fit, ``FitResult`` to table or list of mappings, in place of
        ``fit.summary()``; a function of a module. Results belong to its name: after a change of
        what it does, give it another.
    on_done
        Told how many of how many fits are there.
    marginal, num_prior_draws, devices, geo_devices, preflight, num_warmup, num_samples, \
num_chains, target_accept, max_tree_depth, chain_method, precision, block, num_steps, \
learning_rate, num_particles, guide, num_draws, num_starts
        As in :meth:`MMM.fit <mmm_bayes.fit.MMM.fit>`.

    Returns
    -------
    FitMap
        ``table``, ``verdicts``, ``failures``, and each fit by ``load(name)``.

    Raises
    ------
    TypeError
        If ``rng_key`` is no JAX key.
    DataError
        With everything that is wrong with any table, model, test or setting; before any fit.
    ResultsError, WriteError
        If the folder holds something else, or cannot be written to.
    WorkerError
        If no worker can be started, or the cluster cannot be reached.

    Warns
    -----
    FitsWarning
        If fits failed; the others are there, and ``failures`` says why.

    Examples
    --------
    >>> brands = {"north": "north.csv", "south": "south.csv"}
    >>> fits = map_fits(  # doctest: +SKIP
    ...     jax.random.key(0),
    ...     brands,
    ...     store="brands",
    ...     roles={"date": "week", "target": "sales", "channels": ["tv", "search"]},
    ... )
    >>> fits.verdicts  # doctest: +SKIP
    """
    method = str(method).lower()
    words, kind = _words(rng_key)
    chosen = given(settings)
    specs = spec if isinstance(spec, Mapping) else {_ONE_MODEL: spec or ModelSpec()}
    data = _checked(tables, specs, lift_tests or {}, roles, method, chosen, summarise)
    folder = Path(store)
    kept = ResultStore(folder, KIND, beside=(INDEX, FITS, UNFINISHED))
    place = str(folder.resolve()) if keep_fits else None
    cells = [
        FitCell(
            name, spec_name, table, model, tuple((lift_tests or {}).get(name, ())), method,
            chosen, words, kind, place, kept.identity, summarise,
        )
        for name, table in data.items()
        for spec_name, model in specs.items()
    ]  # fmt: skip
    known = _known(kept, cells, keep_fits)
    if keep_fits:
        require_space(folder, sum(_size(cell) for cell in cells if cell.key not in known), "store=")
    write_index(folder, [_entry(cell) for cell in cells])
    # Cells of one shape follow each other: a worker keeps what it has compiled for them.
    ordered = sorted(cells, key=lambda cell: repr(cell.shape))
    failures = fill_store(
        make_fit, ordered, kept, known=known, on_done=on_done,
        progress=choose_progress(progress), name="map_fits", unit="fits",
        workers=_half_the_cores() if workers is None else workers,
        cluster=cluster, retries=retries, lost_retries=lost_retries, resources=resources,
    )  # fmt: skip
    why = {cell.key: failure for cell, failure in failures}
    entries = [_entry(cell, why.get(cell.key)) for cell in cells]
    write_index(folder, entries)
    if failures:
        first = listing((f"{cell}: {failure}" for cell, failure in failures), 3)
        warn_user(
            f"{len(failures)} of {len(cells)} fits failed; the others are in {folder}, and the "
            f"same call makes these again. The first: {first}. See .failures.",
            FitsWarning,
        )
    return FitMap(folder, entries, kept.rows({own.key for own in entries}))


def _words(rng_key: RngKey) -> tuple[tuple[int, ...], str]:
    """Return what a key is made of, so that any process makes the same one."""
    key = as_key(rng_key)
    words = tuple(int(word) for word in jax.random.key_data(key).ravel())
    return words, str(jax.random.key_impl(key))


def _known(store: ResultStore, cells: Iterable[FitCell], keep_fits: bool) -> set[str]:
    """Keys that are not made again; a fit whose file is wanted and gone is."""
    known = store.keys()
    if not keep_fits:
        return known
    present = {path.name for path in (store.folder / FITS).glob("*.nc")}
    return known - {cell.key for cell in cells if cell.file not in present}


def _size(cell: FitCell) -> int:
    """Estimate the size of the file of a fit."""
    changes = {k: v for k, v in cell.settings.items() if k in type(cell.spec.sampler).model_fields}
    sampler = cell.spec.sampler.model_copy(update=changes)
    prior_draws = cell.settings.get("num_prior_draws", 500)
    return result_bytes(sampler, cell.data.num_geos * cell.data.num_dates, prior_draws)


def _entry(cell: FitCell, failure: Failure | None = None) -> Entry:
    file = cell.file if cell.folder is not None else None
    if failure is None:
        return Entry(cell.table, cell.spec_name, cell.key, file)
    return Entry(
        cell.table, cell.spec_name, cell.key, file, failure.message, failure.attempts
    )  # fmt: skip


def _half_the_cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) // 2)


# --- Checks ---------------------------------------------------------------------------------------


def _checked(
    tables: Mapping[str, Table],
    specs: Mapping[str, ModelSpec],
    tests: Mapping[str, Sequence[LiftTest]],
    roles: Mapping[str, Any] | None,
    method: str,
    settings: Mapping[str, Any],
    summarise: Summarise | None,
) -> dict[str, MMMData]:
    """Tables read; everything that would keep a fit from being made is raised at once."""
    found = [*_names(tables, "table"), *_names(specs, "model")]
    found += [*_settings(method, settings, specs, summarise)]
    for name in tests:
        if name not in tables:
            found.append(
                _finding("lift_tests", f"Lift tests are given for {name!r}, which is no table.")
            )
    data: dict[str, MMMData] = {}
    notes: dict[str, int] = {}
    for name, table in tables.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DataWarning)
                data[name] = own = _read(table, roles)
        except DataError as error:
            found += [
                replace(f, message=f"Table {name!r}: {f.message}")
                for f in error.findings
                if f.severity == "error"
            ]
            continue
        except (ValueError, OSError, TypeError) as error:
            found.append(_finding("table", f"Table {name!r} cannot be read: {error}"))
            continue
        if own is not table and own.findings:
            notes[name] = len(own.findings)
        found += _fits_together(name, own, specs, tests.get(name, ()))
    if found:
        raise DataError(found, f"{len(tables)} tables and {len(specs)} models")
    if notes:
        each = listing((f"{name} ({count})" for name, count in notes.items()), 10)
        warn_user(
            f"{sum(notes.values())} thing(s) to look at in {len(notes)} table(s): {each}. Read one "
            "with MMMData to see them.",
            DataWarning,
        )
    return data


def _read(table: Table, roles: Mapping[str, Any] | None) -> MMMData:
    if isinstance(table, MMMData):
        return table
    if roles is None:
        raise TypeError(
            "it is no MMMData, and roles= do not say what its columns are. Give the keywords of "
            "MMMData.from_dataframe as roles=."
        )
    if is_frame(table):
        return MMMData.from_dataframe(table, **roles)
    if isinstance(table, str | os.PathLike):
        return MMMData.from_file(table, **roles)
    raise TypeError(f"a {type(table).__name__} is no MMMData, DataFrame or path.")


def _fits_together(
    name: str, data: MMMData, specs: Mapping[str, ModelSpec], tests: Sequence[LiftTest]
) -> list[Finding]:
    found: list[Finding] = []
    for spec_name, spec in specs.items():
        if not isinstance(spec, ModelSpec):
            continue
        where = f"Table {name!r} with model {spec_name!r}"
        try:
            MMM(data, spec, lift_tests=tests)
        except DataError as error:
            found += [replace(f, message=f"{where}: {f.message}") for f in error.findings]
    return found


def _names(given: Mapping[Any, Any], what: str) -> list[Finding]:
    if not given:
        return [_finding(what, f"There is no {what}.", "Give one or more, by name.")]
    found = [
        _finding(what, f"The name of a {what} should be text, but is {name!r}.")
        for name in given
        if not isinstance(name, str) or not name
    ]
    if what == "model":
        found += [
            _finding(what, f"Model {name!r} is a {type(own).__name__}, and no ModelSpec.")
            for name, own in given.items()
            if not isinstance(own, ModelSpec)
        ]
    return found


def _settings(
    method: str,
    settings: Mapping[str, Any],
    specs: Mapping[str, ModelSpec],
    summarise: Summarise | None,
) -> list[Finding]:
    """List the settings that every fit would refuse."""
    found = []
    if method not in ("nuts", "svi"):
        found.append(_finding("method", f'method should be "nuts" or "svi", but is {method!r}.'))
    if summarise is not None and "<" in getattr(summarise, "__qualname__", "<"):
        text = f"summarise should be a function of a module, but is {summarise!r}."
        found.append(_finding("summarise", text, "Workers import it, and results bear its name."))
    try:
        json.dumps(plain(settings))
    except TypeError as error:
        text = f"Settings should be numbers and texts. {error}"
        found.append(_finding("settings", text, "What differs by table goes into map_fits calls."))
    changes = {name: value for name, value in settings.items() if name not in _OF_FIT}
    for name, spec in specs.items():
        if not isinstance(spec, ModelSpec):
            continue
        try:
            _sampler(method, changes, spec)
        except SettingsError as error:
            found += [
                _finding("settings", f"With model {name!r}: {own.message}")
                for own in error.findings
            ]
    return found


def _sampler(method: str, changes: Mapping[str, Any], spec: ModelSpec) -> None:
    if method == "svi":
        from mmm_bayes.inference.svi import SVISpec

        SVISpec.model_validate({"precision": "float64", **changes})
    else:
        type(spec.sampler).model_validate(spec.sampler.model_dump() | dict(changes))


def _finding(check: str, message: str, remedy: str = "") -> Finding:
    return Finding(check, "error", message, remedy)
