"""Time of an epoch of CausalMMM, compared with the same network in eager PyTorch.

One panel (300 shops, 8 series, 100 steps by default), hidden width 256, batches of 32: the paper's
encoder and decoder, compiled by JAX, and the plain network of benchmarks/causalmmm_torch.py, which
runs in an environment of its own:

    python -m venv torch-env
    torch-env/bin/pip install torch numpy
    python benchmarks/causalmmm_speed.py --torch-python torch-env/bin/python

Epochs are timed after one that compiles, both in processes of their own, one after the other. The
additive decoder (the package's default) is timed on the same panel, and both decoders over numbers
of shops and lengths, with the exponents of cost. Last come sweeps over the edges of a shop under
the additive decoder, compared with a naive one that factors a whole matrix for each edge.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import record

from mmm_bayes import simulate
from mmm_bayes.causal_mmm import CausalMMM
from mmm_bayes.causal_mmm.inputs import one_blas_thread
from mmm_bayes.causal_mmm.networks.additive import AdditiveDecoder, log_marginal, target_sums
from mmm_bayes.causal_mmm.networks.gibbs import sample_edges
from mmm_bayes.causal_mmm.networks.lagged import Lagged, Layout, lagged_sums
from mmm_bayes.causal_mmm.networks.prior import GraphPrior

PAPER = {
    "decoder": "recurrent",
    "encoder": "series",
    "hidden": 256,
    "embedding": 0,
    "components": 0,
    "batch_size": 32,
}


def epochs_of(shops: int, length: int, epochs: int, settings: dict[str, Any]) -> dict[str, float]:
    """Return median seconds of an epoch and of a round, and of the first, which compiles.

    The additive decoder alone has rounds of Monte Carlo EM: names that begin with ``round_``.
    """
    panel = simulate.shops(jax.random.key(0), num_shops=shops, num_channels=7, num_dates=length)
    wall, cpu = [time.perf_counter()], [time.process_time()]

    def on_epoch(epoch: int, total: int, loss: float) -> None:
        wall.append(time.perf_counter())
        cpu.append(time.process_time())

    rounds = {} if "decoder" in settings else {"rounds": epochs + 1}
    cm = CausalMMM(epochs=epochs + 1, **rounds, **settings)
    cm.fit(jax.random.key(1), panel, on_epoch=on_epoch)
    found = {}
    for name, start in (("", 0), ("round_", epochs + 1)):
        walls, cpus = (np.diff(each)[start : start + epochs + 1] for each in (wall, cpu))
        if len(walls):
            median = {"wall": np.median(walls[1:]), "cpu": np.median(cpus[1:]), "first": walls[0]}
            found |= {f"{name}{what}": float(value) for what, value in median.items()}
    return found


def child(folder: str, given: Any) -> None:
    """Time one case in a fresh process."""
    settings = PAPER | {"hidden": given.hidden} if given.decoder == "recurrent" else {}
    record.leave(folder, epochs_of(given.shops, given.length, given.epochs, settings))


def ours(decoder: str, shops: int, length: int, hidden: int, epochs: int) -> dict[str, float]:
    """Time one case."""
    arguments = ["--decoder", decoder, "--shops", str(shops), "--length", str(length)]
    arguments += ["--hidden", str(hidden), "--epochs", str(epochs)]
    found: dict[str, float] = record.fresh_process(arguments)[0]
    return found


def naive_sweep(
    rng_key: Any, decoder: AdditiveDecoder, sums: Lagged, logits: Any, edges: Any
) -> Any:
    """Draw each edge of a shop from two marginal likelihoods, a factor of a whole matrix each."""

    def visit(edges: Any, given: Any) -> Any:
        (source, target), uniform = given
        both = jnp.stack([edges.at[source, target].set(value)[:, target] for value in (0.0, 1.0)])
        own = target_sums(sums, target)
        log = jax.vmap(lambda z: log_marginal(own, decoder.prior(z, target)))(both)
        p = jax.nn.sigmoid(logits[source, target] + log[1] - log[0])
        p = jnp.where(source == target, 0.0, p)
        return edges.at[source, target].set((uniform < p).astype(edges.dtype)), p

    nodes = len(edges)
    pairs = jnp.stack(jnp.divmod(jnp.arange(nodes**2), nodes), axis=1)
    return jax.lax.scan(visit, edges, (pairs, jax.random.uniform(rng_key, (nodes**2,))))


def sweeps_of(channels: int, shops: int, repetitions: int) -> dict[str, float]:
    """Return the median milliseconds of our sweep over the edges of a shop, and of a naive one."""
    panel = simulate.shops(jax.random.key(0), num_shops=shops, num_channels=channels, num_dates=120)
    values = panel.series - panel.series.mean((0, 1))
    values = jnp.asarray(values / values.std((0, 1)), jnp.float32)
    layout = Layout(panel.num_nodes, 7, ("linear",), 0)
    sums = lagged_sums(values, jnp.ones_like(values), values[..., :0], layout)
    decoder, nodes = AdditiveDecoder(layout), panel.num_nodes
    logits = jnp.full((1, nodes, nodes), -1.4)
    prior = GraphPrior(logits, jnp.zeros(1), jnp.where(jnp.eye(nodes) > 0, 0.0, jnp.nan))
    start = jnp.full((shops, nodes, nodes), 0.2)
    keys = jax.random.split(jax.random.key(1), shops)

    @jax.jit
    def naive(keys: Any) -> Any:
        first = (jax.random.uniform(jax.random.key(2), start.shape) < start).astype(jnp.float32)
        one = lambda given: naive_sweep(given[0], decoder, given[1], logits[0], given[2])  # noqa: E731
        return jax.lax.map(one, (keys, sums, first))

    methods: dict[str, Any] = {
        "block sweep": lambda: sample_edges(keys, decoder, prior, sums, start, 0, 1),
        "a factor an edge": lambda: naive(keys),
    }
    found = {}
    with one_blas_thread():
        for name, run in methods.items():
            jax.block_until_ready(run())
            seconds = []
            for _ in range(repetitions):
                began = time.process_time()
                jax.block_until_ready(run())
                seconds.append(time.process_time() - began)
            found[name] = 1e3 * float(np.median(seconds)) / shops
    return found


def torch_epoch(
    python: str, shops: int, length: int, hidden: int, epochs: int, batch: int = 32
) -> dict[str, Any]:
    """Time the plain network on the same panel."""
    panel = simulate.shops(jax.random.key(0), num_shops=shops, num_channels=7, num_dates=length)
    series = (panel.series - panel.series.mean(1, keepdims=True)) / panel.series.std(
        1, keepdims=True
    )
    script = Path(__file__).with_name("causalmmm_torch.py")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "panel.npz"
        np.savez(path, series=series, context=panel.context[:, 0])
        command = [python, str(script), str(path), "--hidden", str(hidden)]
        command += ["--epochs", str(epochs), "--batch", str(batch)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """Return the slope of log seconds over log size."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def main() -> None:
    """Print the comparison and the exponents."""
    options = record.parser("Epochs of CausalMMM.")
    options.add_argument("--torch-python", help="Python of an environment that has torch")
    options.add_argument("--shops", type=int, default=300)
    options.add_argument("--length", type=int, default=100)
    options.add_argument("--hidden", type=int, default=256)
    options.add_argument("--epochs", type=int, default=3, help="timed epochs; the median is taken")
    options.add_argument("--decoder", default="recurrent", help="of a child process")
    given = options.parse_args()
    if given.child:
        child(given.child, given)
        return
    shape = (given.shops, given.length, given.hidden)
    rows, notes = [], []
    paper = ours("recurrent", *shape, given.epochs)
    if given.torch_python:
        plain = torch_epoch(given.torch_python, *shape, 1)
        cpu, wall = np.median(plain["cpu_seconds"]), np.median(plain["wall_seconds"])
        rows.append([f"plain PyTorch {plain['torch']}, paper's network", cpu, wall, 1.0, "-"])
        base = float(cpu)
        single = torch_epoch(given.torch_python, *shape, 1, batch=1)
        cpu, wall = np.median(single["cpu_seconds"]), np.median(single["wall_seconds"])
        rows.append(["the same, a shop at a time", cpu, wall, base / float(cpu), "-"])
    else:
        notes.append("Without `--torch-python` there is nothing to compare with.")
        base = np.nan
    additive = ours("additive", *shape, given.epochs)
    for name, found in (("JAX, paper's network", paper), ("JAX, additive decoder", additive)):
        rows.append([name, found["cpu"], found["wall"], base / found["cpu"], found["first"]])
    rounds = [additive[f"round_{what}"] for what in ("cpu", "wall", "first")]
    rows.append(["the same, a round of Monte Carlo EM", *rounds[:2], "-", rounds[2]])
    header = ["an epoch", "CPU seconds", "wall seconds", "PyTorch over it, CPU", "first epoch"]
    sizes, lengths = [75, 150, 300, 600], [50, 100, 200, 400]
    scaling = []
    for decoder, hidden in (("recurrent", 64), ("additive", 32)):
        over_shops = [ours(decoder, n, 100, hidden, given.epochs)["cpu"] for n in sizes]
        over_length = [ours(decoder, 150, t, hidden, given.epochs)["cpu"] for t in lengths]
        scaling.append([decoder, *over_shops, exponent(sizes, over_shops)])
        scaling.append([f"{decoder}, by length", *over_length, exponent(lengths, over_length)])
    sweeps = []
    for channels in (10, 20):
        found = sweeps_of(channels, 12, given.epochs)
        ours_ms, naive_ms = found["block sweep"], found["a factor an edge"]
        sweeps.append([channels, ours_ms, naive_ms, naive_ms / ours_ms])
    parts = [
        f"{given.shops} shops, 8 series, {given.length} steps, hidden {given.hidden}, batches of "
        f"32; median of {given.epochs} epochs (PyTorch: one, after an untimed batch). "
        + "".join(notes),
        record.table(header, rows),
        "CPU seconds of an epoch over shops (75, 150, 300, 600; 100 steps) and over lengths (50, "
        "100, 200, 400; 150 shops), hidden 64.",
        record.table(["decoder", "1", "2", "4", "8", "exponent"], scaling),
        "A sweep over all edges of a shop under the additive decoder (120 steps, 7 lags), CPU "
        f"milliseconds; median of {given.epochs}:",
        record.table(["channels", "block sweep", "a factor an edge", "ratio"], sweeps),
    ]
    record.publish("causalmmm_speed", "Speed of CausalMMM", parts, given.write)


if __name__ == "__main__":
    sys.exit(main())
