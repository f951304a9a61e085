"""Cost over sizes: a gradient, leapfrog steps, epochs, rows; each with its exponents."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import performance_files as files
import performance_timing as timing
import record
from performance_laws import FEWEST, PowerLaw, fit_power_law, fit_upper_half

Found = dict[str, Any]
WIDE = "geos, wide tables"
Point = dict[str, float]


def model_of(weeks: int, channels: int, geos: int, **sampler: Any) -> Any:
    """Return a model of a simulated table: the defaults and two waves of the year."""
    import jax

    import mmm_bayes as mb

    data = mb.simulate.mmm(
        jax.random.key(0), num_dates=weeks, num_geos=geos, num_channels=channels, num_controls=2
    ).data
    spec = mb.ModelSpec(seasonality=[{"period": "year", "order": 2}], sampler=sampler)
    return mb.MMM(data, spec)


@functools.cache
def gradient_of(weeks: int, channels: int, geos: int, repetitions: int) -> Point:
    """Time the log density and its gradient inside a compiled loop (least CPU and wall).

    A call from Python costs more than a small gradient, so that many are taken in one: each moves
    the position by next to nothing, so that none can be left out.
    """
    import jax

    model = model_of(weeks, channels, geos)
    with jax.enable_x64(True):
        program, arrays = model.program(), model.arrays()
        layout = program.layout(arrays)
        position = jax.device_put(layout.start(np.random.default_rng(0), 0.5))
        arrays = jax.device_put(arrays)

        def many(count: Any, position: Any, arrays: Any) -> Any:
            def step(_: Any, state: Any) -> Any:
                value, slope = jax.value_and_grad(program.potential)(state[0], arrays)
                return state[0] - 1e-12 * slope, value

            return jax.lax.fori_loop(0, count, step, (position, jax.numpy.zeros(())))

        compiled, compile_cpu, compile_wall = timing.clocked(
            lambda: jax.jit(many).lower(1, position, arrays).compile()
        )
        run = lambda count: jax.block_until_ready(compiled(count, position, arrays))  # noqa: E731
        if not all(np.isfinite(np.asarray(part)).all() for part in run(1)):
            raise FloatingPointError(f"The gradient at {weeks, channels, geos} is not finite.")
        count, wall = 1, 0.0
        while wall < timing.LEAST:
            _, _, wall = timing.clocked(functools.partial(run, count))
            count = count if wall >= timing.LEAST else 4 * count
        taken = [timing.clocked(functools.partial(run, count))[1:] for _ in range(repetitions)]
    cpu, wall = (min(own) / count for own in zip(*taken, strict=True))
    return {
        "cost": cpu,
        "wall": wall,
        "compile_cpu": compile_cpu,
        "compile_wall": compile_wall,
        "parameters": layout.dim,
    }


def _over(sizes: Iterable[int], one: Callable[[int], Point]) -> list[Point]:
    points = []
    for size in sizes:
        points.append({"size": size} | one(size))
        print(f"  {points[-1]}", file=sys.stderr, flush=True)
    return points


def gradient(
    base: dict[str, int],
    sizes: dict[str, list[int]],
    bases_geos: list[int],
    wide: dict[str, Any],
    repetitions: int,
) -> Found:
    """Time gradients over weeks and channels at each of ``bases_geos``, and over geos.

    ``wide`` is a second curve over geos, at weeks and channels of its own: what fits a cache at the
    base does not there, and costs more than a power of sizes says.
    """
    curves: Found = {}
    for axis in ("weeks", "channels"):
        for geos in bases_geos:
            curves[f"{axis}, {geos} geo{'s' * (geos > 1)}"] = _gradients(
                axis, sizes[axis], base | {"geos": geos}, repetitions
            )
    curves["geos"] = _gradients("geos", sizes["geos"], base, repetitions)
    curves[WIDE] = _gradients("geos", wide["geos"], wide, repetitions)
    return {"curves": curves}


def _gradients(axis: str, sizes: list[int], base: dict[str, Any], repetitions: int) -> list[Point]:
    return _over(sizes, lambda size: gradient_of(**(base | {axis: size}), repetitions=repetitions))


@functools.cache
def steps_of(weeks: int, channels: int, geos: int, draws: int, chains: int) -> Point:
    """Run a short fit; return leapfrog steps per draw and per effective draw, and their cost."""
    import jax

    given = {"num_warmup": draws, "num_samples": draws, "num_chains": chains}
    model = model_of(weeks, channels, geos, **given)
    fit = model.fit(jax.random.key(1), progress=False, num_prior_draws=0)
    posterior, stats = fit.tree["posterior"], fit.tree["sample_stats"]
    total = float(stats["n_steps"].sum())
    quality = record.worst(posterior.to_dataset())
    return {
        "cost": total / quality["ess_bulk"],
        "steps": float(stats["n_steps"].mean()),
        "warmup_steps": float(np.mean(posterior.attrs["warmup_steps"])) / draws,
        "step_cpu": posterior.attrs["seconds_sampling_cpu"] / total,
        "step_wall": posterior.attrs["seconds_sampling_wall"] / total,
        "ess": quality["ess_bulk"],
        "rhat": quality["rhat"],
        "divergences": float(stats["diverging"].sum()),
        "gradient": gradient_of(weeks, channels, geos, 3)["cost"],
    }


def steps(base: dict[str, int], sizes: dict[str, list[int]], draws: int, chains: int) -> Found:
    """Run short fits over each size, the others at their base."""
    return {
        "curves": {
            axis: _over(
                own, lambda size, axis=axis: steps_of(**(base | {axis: size}), draws=draws,
                                                      chains=chains)
            )
            for axis, own in sizes.items()
        }
    }  # fmt: skip


def shops(sizes: list[int], length: int, epochs: int) -> Found:
    """Time an epoch of CausalMMM with both decoders."""
    import causalmmm_speed

    recurrent = causalmmm_speed.PAPER | {"hidden": 64}
    curves = {}
    for name, settings in (("additive", {}), ("recurrent", recurrent)):

        def one(count: int, settings: dict[str, Any] = settings) -> Point:
            found = causalmmm_speed.epochs_of(count, length, epochs, settings)
            return {"cost": found["cpu"], "wall": found["wall"]}

        curves[name] = _over(sizes, one)
    return {"curves": curves}


def rows(
    enumerated: list[int], sampled: list[int], draws: int, loaded: list[int], repetitions: int
) -> Found:
    """Time ADMGDA over training rows, and the loader over rows of a table (520 weeks per geo)."""
    import admgda
    import jax

    import mmm_bayes as mb
    from mmm_bayes import simulate
    from mmm_bayes.augmentation.admgda import enumerate_table

    def timed(run: Callable[[], Any]) -> Point:
        found = timing.alternating({"": run}, repetitions)[""]
        return {"cost": found["least_cpu"], "wall": found["least_wall"]}

    def enumerate_one(count: int) -> Point:
        table = admgda.encoded(*admgda.one_root(0, count))
        return timed(lambda: enumerate_table(table, admgda.THRESHOLD, "float64"))

    def sample_one(count: int) -> Point:
        scm = simulate.scm(jax.random.key(1), num_rows=count, num_nodes=10)
        graph, key = mb.CausalGraph(scm.nodes, scm.edges), jax.random.key(2)
        return timed(lambda: mb.augment(key, scm.frame, graph, num_rows=draws))

    def load_one(count: int) -> Point:
        frame = files.wide_table(max(2, count // 520), 520)
        return timed(lambda: mb.MMMData.from_dataframe(frame, **files.ROLES))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mb.errors.AugmentationWarning)
        return {
            "curves": {
                "ADMGDA, enumeration": _over(enumerated, enumerate_one),
                "ADMGDA, sampling": _over(sampled, sample_one),
                "loader": _over(loaded, load_one),
            }
        }


def laws_of(points: list[Point], of: str = "cost") -> tuple[PowerLaw, PowerLaw] | None:
    """Fit a line through all points and one through the larger half, if there are enough."""
    if len({point["size"] for point in points}) < FEWEST:
        return None
    sizes, costs = [p["size"] for p in points], [p[of] for p in points]
    return fit_power_law(sizes, costs), fit_upper_half(sizes, costs)


def exponents(found: Found, unit: float, of: str = "cost") -> list[list[Any]]:
    """Return the rows of a table: sizes, cost at both ends, exponents."""
    result = []
    for name, points in found["curves"].items():
        laws = laws_of(points, of)
        ends = points[0], points[-1]
        result.append([
            name, f"{ends[0]['size']:,} to {ends[1]['size']:,}", len(points),
            *(unit * end[of] for end in ends),
            *((str(law) for law in laws) if laws else ("-", "-")),
        ])  # fmt: skip
    return result


# --- Text ----------------------------------------------------------------------------------------


def curve_text(unit: float, cost: str, about: str) -> Callable[..., list[str]]:
    def text(found: Found, given: dict[str, Any]) -> list[str]:
        header = ["over", "sizes", "points", f"{cost}, least size", "greatest size",
                  "exponent, all", "exponent, larger half"]  # fmt: skip
        return [about.format(**given), record.table(header, exponents(found, unit))]

    return text


def steps_text(found: Found, given: dict[str, Any]) -> list[str]:
    rows = [
        [f"{point['size']} {axis}", point["steps"], point["warmup_steps"], point["ess"],
         point["rhat"], 1e6 * point["step_cpu"], 1e6 * point["gradient"]]
        for axis, own in found["curves"].items() for point in own
    ]  # fmt: skip
    curve = curve_text(
        1.0,
        "steps an effective draw",
        "Short fits ({chains} chains of {draws} + {draws}, key 1) of the same tables, others at "
        f"{_sizes(given['base'])}. Steps an effective draw are all of sampling over the least "
        "bulk ESS.",
    )(found, given)
    by_draw = [[row[0], *row[3:]] for row in exponents(found, 1.0, "steps")]
    header = ["fit", "steps per draw", "steps per warm-up iteration", "least bulk ESS",
              "greatest R-hat", "CPU us a step", "CPU us a gradient"]  # fmt: skip
    return [
        *curve,
        record.table(["steps per draw, over", "least size", "greatest", "exponent, all",
                      "exponent, larger half"], by_draw),
        record.table(header, rows),
    ]  # fmt: skip


def _sizes(base: dict[str, int]) -> str:
    return ", ".join(f"{value} {name}" for name, value in base.items())


GRADIENT = (
    "One value and gradient of the log density, linear block integrated out, float64, inside a "
    "compiled loop as in the sampler; "
    "tables of `simulate.mmm` (seed 0), others at {base[weeks]} weeks, {base[channels]} channels "
    "and the geos named, wide tables at {wide[weeks]} weeks and {wide[channels]} channels; the "
    "least of {repetitions} measurements. The larger half of the sizes is what is used below: at "
    "small ones a call costs what it costs."
)
SHOPS = (
    "An epoch of CausalMMM ({length} steps, 8 series), additive with its defaults and recurrent of "
    "width 64: median of {epochs} after one that compiles."
)
ROWS = (
    "ADMGDA with 10 variables: enumeration of one table (threshold 1e-3) and sampling of {draws} "
    "rows, over training rows; `MMMData.from_dataframe` of tables of 520 weeks per geo, over rows; "
    "the least of {repetitions} measurements."
)
