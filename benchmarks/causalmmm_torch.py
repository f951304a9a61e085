"""CausalMMM as published, written plainly in eager PyTorch: seconds of training epochs.

A yardstick for the package's own network. It needs torch and numpy only, in an environment of its
own, and reads a panel that somebody else has saved:

    python causalmmm_torch.py panel.npz [--epochs 1] [--threads 2]

``panel.npz`` holds ``series`` (shop, time, node), standardised and without missing values, the
target last, and may hold ``context`` (shop, variable). ``--random`` makes 300 shops x 100 days x 8
nodes instead. The last line printed is JSON.

Written from Gong et al. (2024), *CausalMMM: Learning Causal Structure for Marketing Mix Modeling*,
sections 3.1 to 3.3. What the paper leaves open: two-layer MLPs with ELU; two kinds of edges, none
and one; the S-curve is taken of the softplus of the temporal effect; an exact KL divergence to a
uniform prior of edges; a variance of 0.1 in the Gaussian likelihood.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

VARIANCE = 0.1


class MLP(nn.Module):
    """Two fully connected layers, each followed by ELU."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, hidden)
        self.second = nn.Linear(hidden, outputs)

    def forward(self, values: Tensor) -> Tensor:
        return functional.elu(self.second(functional.elu(self.first(values))))


class Pairs(nn.Module):
    """Every ordered pair of different nodes, and sums over those with the same target."""

    def __init__(self, nodes: int) -> None:
        super().__init__()
        source, target = np.nonzero(~np.eye(nodes, dtype=bool))
        self.register_buffer("source", torch.as_tensor(source))
        self.register_buffer("target", torch.as_tensor(target))
        self.nodes = nodes

    def join(self, values: Tensor) -> Tensor:
        """Join source and target: (shop, node, feature) to (shop, pair, 2 x feature)."""
        return torch.cat([values[:, self.source], values[:, self.target]], -1)

    def gather(self, messages: Tensor) -> Tensor:
        """Sum over sources: (shop, pair, feature) to (shop, node, feature)."""
        shape = (messages.shape[0], self.nodes, messages.shape[2])
        return messages.new_zeros(shape).index_add_(1, self.target, messages)


class Encoder(nn.Module):
    """Causal relational encoder (section 3.1): logits of the kinds of each edge."""

    def __init__(self, pairs: Pairs, length: int, hidden: int) -> None:
        super().__init__()
        self.pairs = pairs
        self.embed = MLP(length, hidden, hidden)
        self.edge = MLP(2 * hidden, hidden, hidden)
        self.vertex = MLP(hidden, hidden, hidden)
        self.edge_again = MLP(2 * hidden, hidden, hidden)
        self.logits = nn.Linear(hidden, 2)

    def forward(self, series: Tensor) -> Tensor:
        nodes = self.embed(series.transpose(1, 2))
        edges = self.edge(self.pairs.join(nodes))
        nodes = self.vertex(self.pairs.gather(edges))
        return self.logits(self.edge_again(self.pairs.join(nodes)))


class Decoder(nn.Module):
    """Marketing response decoder (section 3.2): each day's values from those before."""

    def __init__(self, pairs: Pairs, context: int, hidden: int) -> None:
        super().__init__()
        self.pairs = pairs
        self.hidden = hidden
        self.edge = MLP(2, hidden, hidden)
        self.sequence = nn.GRUCell(hidden + 1, hidden)
        self.predict = nn.Sequential(nn.Linear(hidden + 1, hidden), nn.ELU(), nn.Linear(hidden, 1))
        self.alpha = nn.Sequential(nn.Linear(context, hidden), nn.ELU(), nn.Linear(hidden, 1))
        self.gamma = nn.Sequential(nn.Linear(context, hidden), nn.ELU(), nn.Linear(hidden, 1))

    def forward(self, series: Tensor, edges: Tensor, context: Tensor) -> Tensor:
        """Predict all days but the first (shop, time - 1, node), given the true days before."""
        shops, length, nodes = series.shape
        alpha = functional.softplus(self.alpha(context))
        gamma = functional.softplus(self.gamma(context)) + 1e-3
        state = series.new_zeros(shops * nodes, self.hidden)
        means = []
        for day in range(length - 1):
            values = series[:, day, :, None]
            messages = edges[..., None] * self.edge(self.pairs.join(values))
            read = torch.cat([self.pairs.gather(messages), values], -1)
            state = self.sequence(read.flatten(0, 1), state)
            both = torch.cat([state.view(shops, nodes, -1), values], -1)
            mean = self.predict(both)[..., 0]
            effect = (functional.softplus(mean[:, -1:]) + 1e-6) ** alpha
            means.append(torch.cat([mean[:, :-1], effect / (effect + gamma)], 1))
        return torch.stack(means, 1)


class CausalMMM(nn.Module):
    """Encoder and decoder with the bound that they are trained on (section 3.3)."""

    def __init__(self, length: int, nodes: int, context: int, hidden: int) -> None:
        super().__init__()
        pairs = Pairs(nodes)
        self.encoder = Encoder(pairs, length, hidden)
        self.decoder = Decoder(pairs, context, hidden)

    def loss(self, series: Tensor, context: Tensor, temperature: float, penalty: float) -> Tensor:
        """Return the negative evidence lower bound, a mean over shops."""
        logits = self.encoder(series)
        edges = functional.gumbel_softmax(logits, tau=temperature)[..., 1]
        means = self.decoder(series, edges, context)
        fit = ((series[:, 1:] - means) ** 2).sum() / (2.0 * VARIANCE)
        log_probability = functional.log_softmax(logits, -1)
        divergence = (log_probability.exp() * (log_probability + np.log(2.0))).sum()
        return (fit + penalty * divergence) / series.shape[0]


def load(given: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Return series (shop, time, node) and context (shop, variable) in single precision."""
    if given.random:
        series = np.random.default_rng(0).normal(size=(300, 100, 8))
        context = np.zeros((300, 1))
    else:
        with np.load(given.panel) as saved:
            series = saved["series"]
            context = saved["context"] if "context" in saved else np.zeros((len(series), 1))
    if series.ndim != 3 or context.shape[0] != len(series) or not np.isfinite(series).all():
        raise SystemExit(
            f"series should be (shop, time, node) without missing values and context (shop, "
            f"variable); they have the shapes {series.shape} and {context.shape}."
        )
    if context.shape[1] == 0:
        context = np.zeros((len(series), 1))
    return torch.as_tensor(series).float(), torch.as_tensor(context).float()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("panel", nargs="?", help=".npz file of the panel")
    parser.add_argument("--random", action="store_true", help="noise instead of a panel")
    parser.add_argument(
        "--epochs", type=int, default=1, help="timed epochs, after one untimed batch"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--temperature", type=float, default=0.5)
    parser.add_argument("--penalty", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if bool(given.panel) == given.random:
        parser.error("give either the file of a panel or --random")
    return given


def main() -> None:
    """Train for some epochs and print their seconds."""
    given = parse()
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    series, context = load(given)
    shops, length, nodes = series.shape
    model = CausalMMM(length, nodes, context.shape[1], given.hidden)
    optimiser = torch.optim.Adam(model.parameters(), lr=given.learning_rate)

    def step(batch: Tensor) -> float:
        optimiser.zero_grad()
        loss = model.loss(series[batch], context[batch], given.temperature, given.penalty)
        loss.backward()
        optimiser.step()
        return loss.item()

    step(torch.arange(min(given.batch, shops)))
    epochs = []
    for _ in range(given.epochs):
        wall, cpu = time.perf_counter(), time.process_time()
        total = sum(step(batch) * len(batch) for batch in torch.randperm(shops).split(given.batch))
        epochs.append((time.perf_counter() - wall, time.process_time() - cpu, total / shops))
    result = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "threads": torch.get_num_threads(),
        "shape": [shops, length, nodes],
        "batch": given.batch,
        "hidden": given.hidden,
        "parameters": sum(part.numel() for part in model.parameters()),
        "epochs": given.epochs,
        "wall_seconds": [wall for wall, _, _ in epochs],
        "cpu_seconds": [cpu for _, cpu, _ in epochs],
        "loss": [loss for _, _, loss in epochs],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
