"""Run the blocks of one chain, or of chains that step together, from start to last draw.

Between blocks the whole state of a runner is arrays on the host, so that it can be written to disk
and resumed later (:mod:`mmm_bayes.inference.checkpoint`).
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import jax
import numpy as np

from mmm_bayes.inference import adaptation, nuts
from mmm_bayes.inference.checkpoint import ChainParts, Part, joined
from mmm_bayes.inference.sharding import every_process
from mmm_bayes.runtime.progress import Progress

NDArray = np.ndarray[Any, Any]
Propose = Callable[[np.random.Generator, float], NDArray]
Block = Callable[..., tuple[nuts.NUTSState, NDArray, nuts.NUTSInfo]]

_MAX_STARTS = 50
_NOT_EVALUATED = 1e30
# Fields stored for each draw; gradients, as large as the draws, are only needed for adaptation.
_KEPT = ("position", *(name for name in nuts.NUTSInfo._fields if name != "gradient"))
_HISTORY = ("position", "gradient")


class NoFiniteStartError(FloatingPointError):
    """No position with finite density and gradient was found; ``blamed`` names the cause."""

    def __init__(self, blamed: str = "") -> None:
        super().__init__(
            f"No start with a finite density was found in {_MAX_STARTS} tries. "
            + (blamed and f"{blamed} ")
            + "The usual cause is a prior whose support excludes the data (a bounded prior that is "
            "too narrow), or a target outside the range of the likelihood. Check the prior "
            "predictive draws first."
        )


class Plan(NamedTuple):
    """Numbers of iterations and settings, as in ``SamplerSpec``."""

    num_warmup: int
    num_samples: int
    target_accept: float
    max_tree_depth: int
    block: int


class ChainRunner:
    """Run chains that step together.

    Parameters
    ----------
    run
        Draws a block: maps keys, states and metrics (chain, ...), a count, a depth and whether to
        adapt to the result of :func:`mmm_bayes.inference.nuts.sample_block`, on the host.
    plan, dim, dtype
        Numbers of iterations and settings; dimension and type of positions.
    chains, keys, impl
        Numbers of the chains, the data of their random keys (chain, word), and the implementation
        of these keys.
    progress
        Where to report, and for which chains.
    parts
        Where to store the state; the run resumes from parts that are already there.
    """

    def __init__(
        self,
        run: Block,
        plan: Plan,
        dim: int,
        dtype: np.dtype[Any],
        chains: Sequence[int],
        keys: NDArray,
        impl: str,
        progress: tuple[Progress, Sequence[int]],
        parts: ChainParts | None = None,
    ) -> None:
        self._run, self._plan, self._dtype = run, plan, dtype
        self.chains, self._keys, self._impl = tuple(chains), keys, impl
        self._progress, self._reported = progress
        self._parts = parts
        count, rank = len(self.chains), adaptation.rank_for(dim)
        zero = np.zeros(count, dtype)
        # Step size zero: the first "trajectory" evaluates the density where it stands.
        still = nuts.StepSize(zero, np.full(count, -np.inf, dtype), zero, zero, zero)
        at = np.zeros((count, dim), dtype)
        self._state = nuts.NUTSState(at, np.full(count, _NOT_EVALUATED, dtype), at, still)
        first = adaptation.first_metric(np.zeros(dim, dtype), rank)
        self._metric = nuts.Metric(*(np.stack([x] * count) for x in first))
        self._ends = [*adaptation.window_ends(plan.num_warmup), plan.num_warmup]
        self._calls = 0
        self._started = False
        self._history: list[Part] = []
        self._draws: list[Part] = []
        self._saved = (0, 0)  # blocks of both lists that are on disk
        self._calls_kept = -1
        self.warmup_steps = np.zeros(count, np.int64)
        self.done = 0
        if parts is not None:
            self._take_up(parts.load())

    @property
    def total(self) -> int:
        """Iterations of each chain, warm-up included."""
        return self._plan.num_warmup + self._plan.num_samples

    @property
    def num_draws(self) -> int:
        """Number of draws per chain so far."""
        return max(0, self.done - self._plan.num_warmup)

    def draws(self) -> Part:
        """Return the draws so far with their diagnostics, each (chain, draw, ...)."""
        return {name: np.concatenate([x[name] for x in self._draws], 1) for name in _KEPT}

    def step(self, seeds: NDArray, propose: Propose) -> None:
        """Run the next block, of the warm-up or of the draws."""
        if not self._started:
            self._start(seeds, propose)
        if self.done < self._plan.num_warmup:
            self._warm_up()
        else:
            self._draw()
        if self._parts is not None and (self.done == self.total or self._parts.due(self.done)):
            self.keep()

    # --- Blocks ----------------------------------------------------------------------------------

    def _call(self, count: int, depth: int, adapt: bool) -> tuple[nuts.NUTSState, Part]:
        self._calls += 1
        keys = np.stack([_folded(key, self._impl, self._calls) for key in self._keys])
        state, positions, info = self._run(keys, self._state, self._metric, count, depth, adapt)
        part = {"position": positions} | info._asdict()
        return state, {name: value[:, :count] for name, value in part.items()}

    def _start(self, seeds: NDArray, propose: Propose) -> None:
        """Find positions with finite density and gradient, from proposals of decreasing spread."""
        generators = [np.random.default_rng(seeds[chain]) for chain in self.chains]
        found = np.zeros(len(self.chains), bool)
        for attempt in range(_MAX_STARTS):
            tried = np.stack([propose(rng, 0.8**attempt) for rng in generators])
            known = self._state
            position = np.where(found[:, None], known.position, tried.astype(self._dtype))
            self._state = known = known._replace(position=position)
            reached, _ = self._call(1, 1, False)
            finite = np.isfinite(reached.potential) & np.isfinite(reached.gradient).all(1)
            finite &= reached.potential < _NOT_EVALUATED / 10
            new = finite & ~found
            self._state = jax.tree.map(
                lambda old, fresh, new=new: np.where(
                    new.reshape(-1, *[1] * (old.ndim - 1)), fresh, old
                ),
                known,
                reached,
            )
            found |= finite
            if every_process(bool(found.all())):
                break
        else:
            raise NoFiniteStartError
        rank = self._metric.stretch.shape[1]
        metrics = [adaptation.first_metric(gradient, rank) for gradient in self._state.gradient]
        self._metric = nuts.Metric(*map(np.stack, zip(*metrics, strict=True)))
        self._restart(np.full(len(self.chains), 0.1))
        self._started = True

    def _warm_up(self) -> None:
        """Run a block that adapts the step size and, at the end of a window, the metric."""
        plan = self._plan
        number = bisect_right(self._ends, self.done)
        depth = plan.max_tree_depth
        if number < 2:
            depth = min(depth, adaptation.EARLY_DEPTH)
        size = min(plan.block, self._ends[number] - self.done)
        self._state, made = self._call(size, depth, True)
        self.done += size
        self._history.append({name: made[name] for name in _HISTORY})
        self.warmup_steps += made["n_steps"].sum(1)
        self._report("warm-up", 0 * self.warmup_steps)
        if self.done == self._ends[number] and self.done < plan.num_warmup:
            self._renew_metric(number)
        if self.done == plan.num_warmup:
            self._history, self._saved = [], (0, self._saved[1])

    def _renew_metric(self, number: int) -> None:
        # The first third of a longer history is still the approach to the posterior.
        first = self.done // 3 if number > 2 else 0
        rank = self._metric.stretch.shape[1]
        q, g = (np.concatenate([x[name] for x in self._history], 1) for name in _HISTORY)
        metrics = [
            adaptation.fisher_metric(q[index, first:], g[index, first:], rank)
            for index in range(len(self.chains))
        ]
        self._metric = nuts.Metric(*map(np.stack, zip(*metrics, strict=True)))
        self._restart(0.5 * np.exp(self._state.step_size.log_step_average.astype(float)))

    def _restart(self, step_size: NDArray) -> None:
        """Restart dual averaging."""
        log_step = np.log(np.maximum(step_size, 1e-8)).astype(self._dtype)
        zero = np.zeros_like(log_step)
        centre = (log_step + np.log(10.0)).astype(self._dtype)
        step = nuts.StepSize(log_step, log_step, zero, zero, centre)
        self._state = self._state._replace(step_size=step)

    def _draw(self) -> None:
        """Run a block of draws."""
        plan = self._plan
        size = min(plan.block, self.total - self.done)
        self._state, made = self._call(size, plan.max_tree_depth, False)
        self.done += size
        self._draws.append({name: made[name] for name in _KEPT})
        self._report("draws", sum(part["diverging"].sum(1) for part in self._draws))

    def _report(self, phase: str, divergences: NDArray) -> None:
        own = dict(zip(self.chains, divergences, strict=True))
        for chain in self._reported:
            divergent = int(own.get(chain, 0))
            note = phase + (f", {divergent} divergent" if divergent else "")
            self._progress.update(chain, self.done, note)

    # --- On disk ---------------------------------------------------------------------------------

    def keep(self) -> None:
        """Write the blocks since the last part, and the state to resume from."""
        if self._parts is None or not self._started:
            return
        after, since = self._saved
        if self._calls == self._calls_kept:
            return
        part: Part = {f"state.{i}": x for i, x in enumerate(jax.tree.leaves(self._state))}
        part |= {f"metric.{i}": x for i, x in enumerate(self._metric)}
        part |= {"calls": np.asarray(self._calls), "warmup_steps": self.warmup_steps}
        for prefix, names, blocks in (
            ("history.", _HISTORY, self._history[after:]),
            ("draws.", _KEPT, self._draws[since:]),
        ):
            if blocks:
                part |= {prefix + n: np.concatenate([b[n] for b in blocks], 1) for n in names}
        if self._parts.write(self.done, part):
            self._saved = (len(self._history), len(self._draws))
            self._calls_kept = self._calls

    def _take_up(self, parts: list[Part]) -> None:
        if not parts:
            return
        last = parts[-1]
        structure = jax.tree.structure(self._state)
        leaves = [last[f"state.{i}"] for i in range(len(jax.tree.leaves(self._state)))]
        self._state = jax.tree.unflatten(structure, leaves)
        self._metric = nuts.Metric(*(last[f"metric.{i}"] for i in range(3)))
        self._calls, self.done = int(last["calls"]), int(last["done"])
        self._calls_kept = self._calls
        self.warmup_steps = last["warmup_steps"]
        self._started = True
        if self.done < self._plan.num_warmup:
            history = joined(parts, _HISTORY, "history.")
            self._history = [] if history is None else [history]
        drawn = joined(parts, _KEPT, "draws.")
        self._draws = [] if drawn is None else [drawn]
        self._saved = (len(self._history), len(self._draws))


def advance(
    runners: Sequence[ChainRunner],
    until: int,
    seeds: NDArray,
    propose: Propose,
    workers: int,
    dtype: np.dtype[Any],
) -> bool:
    """Advance all runners to the iteration ``until``, the one furthest behind first.

    Parameters
    ----------
    runners
        Runners to advance.
    until
        Iteration, including warm-up, at which each chain stops.
    seeds, propose
        Seeds and proposal of starting positions.
    workers
        Number of threads.
    dtype
        Precision of the runners.

    Returns
    -------
    bool
        ``False`` if the user interrupted; every runner is then at the end of a block.
    """
    stop, lock = threading.Event(), threading.Lock()
    idle = list(runners)

    def work() -> None:
        with jax.enable_x64(dtype == np.float64):
            while not stop.is_set():
                with lock:
                    left = [runner for runner in idle if runner.done < until]
                    if not left:
                        return
                    runner = min(left, key=lambda runner: runner.done)
                    idle.remove(runner)
                runner.step(seeds, propose)
                with lock:
                    idle.append(runner)

    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(work) for _ in range(min(workers, len(runners)))]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:
                if future.done():
                    future.result()
        except KeyboardInterrupt:
            # Only the main thread is interrupted: the others finish their block.
            stop.set()
            wait(futures)
            for future in futures:
                future.result()
            return False
        except BaseException:
            stop.set()
            raise
    return True


def _folded(key: Any, impl: str, number: int) -> NDArray:
    """Return the data of the key ``fold_in(key, number)``."""
    folded = jax.random.fold_in(jax.random.wrap_key_data(key, impl=impl), number)
    return np.asarray(jax.random.key_data(folded))
