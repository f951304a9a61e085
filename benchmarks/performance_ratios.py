"""Kernels, training and budgets, compared with the plain way of each."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import performance_timing as timing
import record

Found = dict[str, Any]


def rows_of(found: Found, base: str, unit: float) -> list[list[Any]]:
    """Return CPU and wall seconds of every method, and its ratio to the base."""
    return [
        [way, unit * own["cpu"], unit * own["wall"], own["cpu"] / found[base]["cpu"]]
        for way, own in found.items()
    ]


# --- Adstock -------------------------------------------------------------------------------------


def adstock(
    channels: int, geos: int, weeks: int, max_lag: int, repetitions: int, loops: int
) -> Found:
    """Time truncated, normalised geometric adstock and its gradient in the decay."""
    import jax
    import jax.numpy as jnp

    from mmm_bayes.transforms import convolve_lags, geometric_kernel, lag_tensor

    rng = np.random.default_rng(0)
    media = rng.gamma(2.0, 0.5, size=(channels, geos, weeks))
    decay = np.linspace(0.2, 0.8, channels)

    def contraction(alpha: Any, lags: Any) -> Any:
        return convolve_lags(lags, geometric_kernel(alpha[:, None], max_lag=max_lag))

    def recursion(alpha: Any, x: Any) -> Any:
        """Compute y_t = alpha y_{t-1} + x_t - alpha^L x_{t-L}, over the sum of the weights."""
        a = alpha[:, None]
        gone = jnp.pad(x, [(0, 0), (0, 0), (max_lag, 0)])[..., :weeks]

        def step(carried: Any, now: Any) -> tuple[Any, Any]:
            carried = a * carried + now[0] - a**max_lag * now[1]
            return carried, carried

        inputs = jnp.moveaxis(x, -1, 0), jnp.moveaxis(gone, -1, 0)
        series = jax.lax.scan(step, jnp.zeros((channels, geos)), inputs)[1]
        return jnp.moveaxis(series, 0, -1) * ((1 - a) / (1 - a**max_lag))[..., None]

    def loop(alpha: Any, x: Any) -> Any:
        weights = alpha[:, None] ** np.arange(max_lag)
        weights = weights / weights.sum(1, keepdims=True)
        result = np.zeros(x.shape)
        for c, g, t in np.ndindex(*x.shape):
            window = x[c, g, max(0, t - max_lag + 1) : t + 1][::-1]
            result[c, g, t] = window @ weights[c, : len(window)]
        return result

    with jax.enable_x64(True):
        data = {"contraction": lag_tensor(jnp.asarray(media), max_lag), "recursion": media}
        forward, backward, answers = {}, {}, {"loop": loop(decay, media)}
        for name, way in (("contraction", contraction), ("recursion", recursion)):
            given = jnp.asarray(decay), jax.device_put(data[name])
            run = jax.jit(way).lower(*given).compile()
            answers[name] = np.asarray(run(*given))
            loss = jax.grad(lambda a, x, way=way: (way(a, x) ** 2).sum())
            slope = jax.jit(loss).lower(*given).compile()
            forward[name] = lambda run=run, given=given: run(*given).block_until_ready()
            backward[name] = lambda run=slope, given=given: run(*given).block_until_ready()
        gap = max(float(np.abs(own - answers["loop"]).max()) for own in answers.values())
        result: Found = {
            "forward": timing.alternating(forward, repetitions),
            "gradient": timing.alternating(backward, repetitions),
            "gap": gap,
        }
    looped = timing.alternating({"loop": lambda: loop(decay, media)}, loops)
    result["forward"] |= looped
    return result


def adstock_text(found: Found, given: dict[str, Any]) -> list[str]:
    names = {
        "contraction": "package: contraction with a lag tensor",
        "recursion": "`lax.scan`, recursion over weeks",
        "loop": "NumPy, a loop over cells",
    }
    rows = []
    for way, name in names.items():
        row: list[Any] = [name]
        for kind in ("forward", "gradient"):
            own = found[kind].get(way)
            base = found[kind]["contraction"]
            row += [1e6 * own["cpu"], 1e6 * own["wall"], own["cpu"] / base["cpu"]] if own else [
                "-", "-", "-"]  # fmt: skip
        rows.append(row)
    header = ["adstock", "CPU us", "wall us", "times ours", "gradient, CPU us", "wall us",
              "times ours"]  # fmt: skip
    return [
        f"{given['channels']} channels, {given['geos']} geos, {given['weeks']} weeks, "
        f"{given['max_lag']} lags, float64, compiled before; medians of {given['repetitions']} "
        f"measurements in turn (NumPy: {given['loops']}); seed 0. All agree to {found['gap']:.0e}. "
        "The lag tensor is made once a fit.",
        record.table(header, rows),
    ]


# --- ADMGDA --------------------------------------------------------------------------------------


def enumeration(tables: int, rows: int, repetitions: int) -> Found:
    """Time the enumeration of augmented rows, and the product table in NumPy."""
    import admgda

    from mmm_bayes.augmentation.admgda import enumerate_table

    found: list[Found] = []
    gaps, limit = [], admgda.THRESHOLD
    for seed in range(tables):
        table = admgda.encoded(*admgda.one_root(seed, rows))
        ways: dict[str, Callable[[], Any]] = {
            "numpy": lambda table=table: admgda.product_table(table, limit),
            "float64": lambda table=table: enumerate_table(table, limit, "float64"),
            "float32": lambda table=table: enumerate_table(table, limit, "float32"),
        }
        one, other = (np.sort(ways[way]()[1]) for way in ("numpy", "float64"))
        same = len(one) == len(other)
        gaps.append(float(np.abs(other / one - 1).max(initial=0.0)) if same else np.inf)
        found.append(timing.alternating(ways, repetitions))
    middle = {way: timing.middle([own[way] for own in found]) for way in found[0]}
    ratios = {
        way: statistics.median(own["numpy"]["cpu"] / own[way]["cpu"] for own in found)
        for way in found[0]
    }
    return {"ways": middle, "ratios": ratios, "gap": max(gaps)}


def enumeration_text(found: Found, given: dict[str, Any]) -> list[str]:
    names = {"numpy": "NumPy product table", "float64": "package, float64",
             "float32": "package, float32"}  # fmt: skip
    rows = [
        [name, found["ways"][way]["cpu"], found["ways"][way]["wall"], found["ratios"][way]]
        for way, name in names.items()
    ]
    return [
        f"ADMGDA enumerated: {given['tables']} tables (seeds from 0) of {given['rows']} rows and "
        f"10 variables, threshold 1e-3; medians over tables of medians of {given['repetitions']} "
        f"runs in turn. Greatest relative difference of weights: {found['gap']:.0e}.",
        record.table(["enumeration", "CPU s", "wall s", "NumPy over it, CPU"], rows),
    ]


# --- Training ------------------------------------------------------------------------------------


def training(
    shops: int,
    length: int,
    hidden: int,
    epochs: int,
    repetitions: int,
    decoders: list[str],
    singly: bool,
    torch_python: str | None,
) -> Found:
    """Time an epoch of CausalMMM: additive or recurrent, in batches or one shop at a time."""
    import causalmmm_speed

    recurrent = causalmmm_speed.PAPER | {"hidden": hidden}
    own: dict[str, dict[str, Any]] = {"additive": {}, "recurrent": recurrent}
    ways = {
        name + text: own[name] | more
        for text, more in (("", {}), (", a shop at a time", {"batch_size": 1}))
        for name in decoders
        if singly or not text
    }
    runs: dict[str, list[Found]] = {way: [] for way in ways}
    for _ in range(repetitions):
        for way, settings in ways.items():
            runs[way].append(causalmmm_speed.epochs_of(shops, length, epochs, settings))
    if torch_python:
        name = "recurrent, eager PyTorch"
        plain = causalmmm_speed.torch_epoch(torch_python, shops, length, hidden, epochs)
        pairs = zip(plain["cpu_seconds"], plain["wall_seconds"], strict=True)
        runs[name] = [{"cpu": cpu, "wall": wall, "first": np.nan} for cpu, wall in pairs]
    return {way: timing.middle(own) for way, own in runs.items()}


def training_text(found: Found, given: dict[str, Any]) -> list[str]:
    rows = rows_of(found, "additive", 1.0)
    for row, own in zip(rows, found.values(), strict=True):
        row.append(own["first"])
    torch = "recurrent, eager PyTorch" in found
    return [
        f"CausalMMM, {given['shops']} shops, 8 series, {given['length']} steps; additive with its "
        f"defaults, recurrent as published with hidden width {given['hidden']}, batches of 32 "
        f"where not said; medians of {given['repetitions']} trainings in turn of "
        f"{given['epochs']} epochs after one that compiles (panel of seed 0)."
        + ("" if torch else " Beside eager PyTorch: causalmmm_speed.md, or `--torch-python`."),
        record.table(
            ["an epoch", "CPU s", "wall s", "times additive, CPU", "first epoch, wall s"], rows
        ),
    ]


# --- Budget --------------------------------------------------------------------------------------


def budgets(problems: int, channels: int, limit: float) -> Found:
    """Time our optimiser, then SLSQP with finite differences to the same value."""
    runs = [_budget(2000 + number, channels, limit) for number in range(problems)]
    return {"runs": runs, "middle": timing.middle(runs)}


def _budget(seed: int, channels: int, limit: float) -> Found:
    import budget
    import jax
    import jax.numpy as jnp
    from scipy.optimize import minimize

    from mmm_bayes.budget import outcome
    from mmm_bayes.budget.projection import project
    from mmm_bayes.budget.solver import FINEST, maximise

    problem, feasible = budget.draw_problem(seed, channels, ("channel", "date"))
    today, point, structure = problem.variables.today, problem.point, problem.structure
    maximise(problem, feasible, {"today": today})  # compiles
    solution, cpu, wall = timing.clocked(lambda: maximise(problem, feasible, {"today": today}))
    scale, unit = problem.scale, float(today.sum())
    size, goal = abs(problem.exact(today)), (1 - 1e-3) * solution.value

    @jax.jit
    def value(z: Any, response: Any) -> Any:
        spend = jnp.append(z, 0.0)[point.index] * point.share + FINEST * point.usual
        return outcome.outcome(structure, response, spend).mean()

    reached, calls = -np.inf, 0
    with jax.enable_x64(True):
        response = jax.tree.map(jnp.asarray, problem.response)
        value(today, response).block_until_ready()

        def fun(v: Any) -> float:
            nonlocal calls
            calls += 1
            return -float(value(scale * np.maximum(v, 0.0), response)) / size

        started, used = time.perf_counter(), time.process_time()

        def watch(v: Any) -> None:
            nonlocal reached
            reached = max(reached, problem.exact(project(feasible.polytope, scale * v)))
            if reached >= goal or time.perf_counter() - started > limit:
                raise budget._Enough

        with contextlib.suppress(budget._Enough):
            minimize(
            fun, today / scale, method="SLSQP", bounds=[(0.0, None)] * len(scale), callback=watch,
            constraints=budget._constraints(feasible, scale, unit),
            options={"maxiter": 300, "ftol": 1e-9},
        )  # fmt: skip
        slsqp = time.process_time() - used, time.perf_counter() - started
    return {
        "variables": len(scale),
        "cpu": cpu,
        "wall": wall,
        "gradients": solution.evaluations,
        "slsqp_cpu": slsqp[0],
        "slsqp_wall": slsqp[1],
        "slsqp_calls": calls,
        "share": reached / solution.value,
        "ratio": slsqp[0] / cpu,
    }


def budgets_text(found: Found, given: dict[str, Any]) -> list[str]:
    own = found["middle"]
    short = min(run["share"] for run in found["runs"])
    rows = [
        ["package, gradients", own["cpu"], own["wall"], int(own["gradients"]), 1.0],
        ["SLSQP, finite differences", own["slsqp_cpu"], own["slsqp_wall"],
         int(own["slsqp_calls"]), own["ratio"]],
    ]  # fmt: skip
    return [
        f"A plan of {given['channels']} channels x 26 weeks ({int(own['variables'])} amounts), 100 "
        f"draws; medians of {given['problems']} problems (seeds from 2000), ours then SLSQP on "
        "each, compiled before, from today's plan. SLSQP has the same objective and stops at our "
        f"value less 0.1%, or after {given['limit']:g} s; it got to {100 * short:.1f}% of it at "
        "least. More problems and starts: budget.md.",
        record.table(["optimiser", "CPU s", "wall s", "evaluations", "times ours, CPU"], rows),
    ]
