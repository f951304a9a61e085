"""Time of one gradient through adstock and saturation, by way of computing the convolution.

Run ``python benchmarks/adstock.py`` to print the tables, with ``--write`` to keep them in
``docs/results/adstock.md``. The functions of the package are timed next to the alternatives that
they were chosen from. Runs of all ways are interleaved, so that another process on the machine
slows all of them alike; the ratio to the fastest is the figure to read.
"""

import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import record
from jax import Array

from mmm_bayes.transforms import (
    PreparedConvolution,
    causal_convolution,
    convolve_lags,
    geometric_kernel,
    hill,
    lag_tensor,
    prepare_convolution,
)


@dataclass(frozen=True)
class Case:
    """Media of shape ``(channel, geo, time)`` and a window of lags."""

    name: str
    channels: int
    geos: int
    times: int
    max_lag: int

    def media(self) -> np.ndarray:
        rng = np.random.default_rng(0)
        media = rng.gamma(2.0, 0.5, size=(self.channels, self.geos, self.times))
        # A fifth of the cells without spend, as in real tables.
        return media * (rng.uniform(size=media.shape) > 0.2)


CASES = [
    Case("national", 5, 1, 156, 13),
    Case("geo", 5, 40, 156, 13),
    Case("daily", 5, 1, 1095, 90),
]

Way = Callable[[Any, Array], Array]


def shift_and_add(x: Array, kernel: Array) -> Array:
    total = kernel[..., :1] * x
    for lag in range(1, kernel.shape[-1]):
        shifted = jnp.pad(x[..., :-lag], [(0, 0)] * (x.ndim - 1) + [(lag, 0)])
        total = total + kernel[..., lag : lag + 1] * shifted
    return total


def depthwise_convolution(x: Array, kernel: Array) -> Array:
    channels, geos, _ = x.shape
    depth = kernel.shape[-1] - 1
    # Channels as groups, geos as the batch; lax correlates, so the kernel is turned round.
    result = jax.lax.conv_general_dilated(
        jnp.swapaxes(x, 0, 1), kernel[..., ::-1], (1,), [(depth, 0)], feature_group_count=channels
    )
    return jnp.swapaxes(result, 0, 1).reshape(channels, geos, -1)


def toeplitz_product(x: Array, kernel: Array) -> Array:
    times, max_lag = x.shape[-1], kernel.shape[-1]
    lag = jnp.arange(times) - jnp.arange(times)[:, None]
    inside = (lag >= 0) & (lag < max_lag)
    matrix = jnp.where(inside, kernel[..., jnp.clip(lag, 0, max_lag - 1)], 0.0)
    return jnp.einsum("cgs,cst->cgt", x, matrix[:, 0])


def fixed_data_ways(x: Array, max_lag: int) -> dict[str, tuple[Way, Any]]:
    """Return the methods that prepare the data outside the gradient, with the prepared data."""
    lags = lag_tensor(x, max_lag)
    time_lag = jnp.swapaxes(lags, -1, -2)
    channels = x.shape[0]
    by_channel = jnp.moveaxis(lags, -2, 1).reshape(channels, max_lag, -1)

    def from_rows(rows: Array, kernel: Array) -> Array:
        return jnp.einsum("cln,cl->cn", rows, kernel[:, 0]).reshape(x.shape)

    def repeated(data: Array, kernel: Array) -> Array:
        kernel = jnp.broadcast_to(kernel, (*data.shape[:-2], max_lag))
        return jnp.einsum("...tl,...l->...t", data, kernel)

    return {
        "convolve_lags: (lag, time), kernel repeated by geo": (convolve_lags, lags),
        "(lag, time), one kernel for all geos": (
            lambda d, k: jnp.einsum("...lt,...l->...t", d, k),
            lags,
        ),
        "(lag, time), multiply and sum": (lambda d, k: (d * k[..., None]).sum(-2), lags),
        "(time, lag), kernel repeated by geo": (repeated, time_lag),
        "(time, lag), one kernel for all geos": (
            lambda d, k: jnp.einsum("...tl,...l->...t", d, k),
            time_lag,
        ),
        "(time, lag), multiply and sum": (lambda d, k: (d * k[..., None, :]).sum(-1), time_lag),
        "(lag, geo x time), matrix product": (from_rows, by_channel),
        "FFT, spectrum prepared": (_call, prepare_convolution(x, max_lag, method="fft")),
        "prepare_convolution, auto": (_call, prepare_convolution(x, max_lag)),
    }


def _call(prepared: PreparedConvolution, kernel: Array) -> Array:
    return prepared(kernel)


# Ways that start from the series itself, which may move with the parameters.
SERIES_WAYS: dict[str, Way] = {
    "lag tensor rebuilt": lambda x, k: causal_convolution(x, k, method="lags"),
    "scan over lags": lambda x, k: causal_convolution(x, k, method="scan"),
    "FFT": lambda x, k: causal_convolution(x, k, method="fft"),
    "causal_convolution, auto": causal_convolution,
    "shift and add, unrolled": shift_and_add,
    "lax convolution": depthwise_convolution,
    "Toeplitz product": toeplitz_product,
}


def hill_by_powers(x: Array, ec: Array, slope: Array) -> Array:
    power = jnp.where(x > 0, x, 1.0) ** slope
    return jnp.where(x > 0, power / (power + ec**slope), 0.0)


def hill_by_ratio(x: Array, ec: Array, slope: Array) -> Array:
    return jnp.where(x > 0, 1 / (1 + (ec / jnp.where(x > 0, x, 1.0)) ** slope), 0.0)


HILLS = {"one logarithm (package)": hill, "powers": hill_by_powers, "power of ratio": hill_by_ratio}


def parameters(channels: int) -> tuple[Array, Array, Array]:
    return (
        jnp.linspace(0.2, 0.8, channels)[:, None],
        jnp.linspace(0.5, 1.5, channels)[:, None, None],
        jnp.linspace(0.8, 2.0, channels)[:, None, None],
    )


def adstock_first(case: Case, way: Way, curve: Callable = hill) -> Callable:
    """Sum of squares of saturated adstock: the data are fixed."""

    def loss(theta: tuple[Array, Array, Array], data: Array) -> Array:
        alpha, ec, slope = theta
        carried = way(data, geometric_kernel(alpha, max_lag=case.max_lag))
        return jnp.sum(curve(carried, ec, slope) ** 2)

    return jax.value_and_grad(loss)


def saturation_first(case: Case, way: Way) -> Callable:
    """Sum of squares of adstocked saturation: the series moves with the parameters."""

    def loss(theta: tuple[Array, Array, Array], data: Array) -> Array:
        alpha, ec, slope = theta
        kernel = geometric_kernel(alpha, max_lag=case.max_lag)
        return jnp.sum(way(hill(data, ec, slope), kernel) ** 2)

    return jax.value_and_grad(loss)


@dataclass(frozen=True)
class Timing:
    """Seconds to trace and compile, and median and least seconds of a call."""

    compile: float
    median: float
    least: float


def measure(
    jobs: dict[str, tuple[Callable, Array]], channels: int, rounds: int
) -> dict[str, Timing]:
    """Compile every job, check that all agree, then time them in turn."""
    theta = parameters(channels)
    compiled, compile_time, answers = {}, {}, {}
    for name, (function, data) in jobs.items():
        start = time.perf_counter()
        compiled[name] = jax.jit(function).lower(theta, data).compile()
        compile_time[name] = time.perf_counter() - start
        answers[name] = compiled[name](theta, data)
    reference = next(iter(answers.values()))
    for name, answer in answers.items():
        for part, expected in zip(jax.tree.leaves(answer), jax.tree.leaves(reference), strict=True):
            np.testing.assert_allclose(part, expected, rtol=1e-6, err_msg=name)
    samples: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, (_, data) in jobs.items():
            call = compiled[name]
            jax.block_until_ready(call(theta, data))
            start = time.perf_counter()
            for _ in range(5):
                result = call(theta, data)
            jax.block_until_ready(result)
            samples[name].append((time.perf_counter() - start) / 5)
    return {
        name: Timing(compile_time[name], statistics.median(samples[name]), min(samples[name]))
        for name in jobs
    }


def table(timings: dict[str, Timing]) -> list[str]:
    best = min(t.least for t in timings.values())
    lines = [
        "| way | median, ms | least, ms | least / best | trace and compile, s |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, t in sorted(timings.items(), key=lambda item: item[1].least):
        lines.append(
            f"| {name} | {1e3 * t.median:.3f} | {1e3 * t.least:.3f} | {t.least / best:.2f} "
            f"| {t.compile:.2f} |"
        )
    return lines


# Shapes and windows around the place where the FFT becomes the cheaper way.
CROSSOVER = [
    Case("", channels, geos, times, max_lag)
    for channels, geos, times in [(5, 1, 156), (5, 40, 156), (5, 1, 1095), (5, 20, 1095)]
    for max_lag in (4, 13, 26, 52, 90)
    if channels * geos * times * max_lag < 4e6
]


def crossover(rounds: int) -> list[str]:
    """Return the least milliseconds by lag tensor and by FFT, for both constants of the package."""
    lines = [
        "| media | lags | elements | prepared: lags | prepared: FFT | moving: lags | moving: FFT |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for case in CROSSOVER:
        x = jnp.asarray(case.media())
        prepared = {
            m: (adstock_first(case, _call), prepare_convolution(x, case.max_lag, method=m))
            for m in ("lags", "fft")
        }
        moving = {
            m: (saturation_first(case, partial(causal_convolution, method=m)), x)
            for m in ("lags", "fft")
        }
        cells = [
            f"{1e3 * timing.least:.3f}"
            for jobs in (prepared, moving)
            for timing in measure(jobs, case.channels, rounds).values()
        ]
        media = f"{case.channels} x {case.geos} x {case.times}"
        elements = math.prod((case.channels, case.geos, case.times, case.max_lag))
        lines.append(f"| {media} | {case.max_lag} | {elements:,} | {' | '.join(cells)} |")
    return lines


def run(rounds: int) -> str:
    lines = [
        "Value and gradient in adstock `alpha`, Hill `ec` and `slope`, one of each per channel,",
        "float64, compiled. All ways are checked to give the same value and gradient, and are",
        "timed in turn; the ratio to the best is the figure to read.",
        "",
        f"JAX {jax.__version__} on {jax.default_backend()}, {os.cpu_count()} cores, "
        f"{platform.machine()}, load average {os.getloadavg()[0]:.1f} at the start; "
        f"{rounds} rounds of 5 calls.",
    ]
    for case in CASES:
        x = jnp.asarray(case.media())
        shape = f"{case.channels} channels x {case.geos} geos x {case.times} times"
        fixed = {
            name: (adstock_first(case, way), data)
            for name, (way, data) in fixed_data_ways(x, case.max_lag).items()
        }
        fixed |= {name: (adstock_first(case, way), x) for name, way in SERIES_WAYS.items()}
        moving = {name: (saturation_first(case, way), x) for name, way in SERIES_WAYS.items()}
        lines += ["", f"## {case.name}: {shape}, {case.max_lag} lags", ""]
        lines += ["Adstock, then saturation (the data are fixed):", ""]
        lines += table(measure(fixed, case.channels, rounds))
        lines += ["", "Saturation, then adstock (the series moves):", ""]
        lines += table(measure(moving, case.channels, rounds))
    lines += ["", "## Where the FFT takes over", ""]
    lines += [
        "Least milliseconds of a gradient. `prepare_convolution` takes the lag tensor up to 2**19",
        "= 524,288 elements, `causal_convolution`, which builds it in every call, up to 2**17.",
        "",
    ]
    lines += crossover(max(rounds // 2, 1))
    geo = CASES[1]
    lags = lag_tensor(jnp.asarray(geo.media()), geo.max_lag)
    hills = {
        name: (adstock_first(geo, convolve_lags, curve), lags) for name, curve in HILLS.items()
    }
    lines += ["", "## Forms of the Hill curve, geo data, after `convolve_lags`", ""]
    lines += table(measure(hills, geo.channels, rounds))
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = record.parser((__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=60, help="rounds of 5 calls")
    given = parser.parse_args()
    with jax.enable_x64(True):
        text = run(given.rounds)
    record.publish("adstock", "Gradient of adstock and saturation", [text], given.write)


if __name__ == "__main__":
    main()
