"""Ten thousand inputs that lie: whether each is accepted sound, or refused with a reason.

Run ``python benchmarks/fuzz.py --write`` to keep the result in ``docs/results/robustness.md``.
``--only TARGET --seed N`` makes one input again and shows its outcome.
"""

from __future__ import annotations

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import contextlib
import io
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import fuzz_targets
import record
from fuzz_targets import TARGETS

from mmm_bayes.runtime.findings import DataWarning

LIMIT = 5.0  # seconds of processor time that an input may take
_HANG = 60  # seconds of wall time after which it is given up


class Hang(BaseException):
    """An input took too long."""


@dataclass(frozen=True)
class Outcome:
    """What came of one input: ``accepted``, the name of an error, or ``other: ..`` for a fault."""

    target: str
    seed: int
    kind: str
    seconds: float
    detail: str = ""

    @property
    def is_fault(self) -> bool:
        """Whether a user would call this a bug."""
        return self.kind.startswith("other") or self.seconds > LIMIT


def attempt(name: str, seed: int, folder: Path) -> Outcome:
    """Make the input of a seed, hand it in, and judge what comes back."""
    target = TARGETS[name]
    given = fuzz_targets.given(name, seed)
    began = time.process_time()
    detail = ""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DataWarning)
        try:
            with _limit(_HANG):
                target.check(target.read(given, folder))
            kind = "accepted"
        except Hang:
            kind, detail = "other: hang", f"more than {_HANG} s"
        except Exception as error:
            kind, detail = _judged(error, target.refusals)
    return Outcome(name, seed, kind, time.process_time() - began, detail)


def _judged(error: Exception, refusals: tuple[type[Exception], ...]) -> tuple[str, str]:
    # The type itself: a ValueError of NumPy's is none of ours, though ours are ValueErrors.
    text = str(error)
    if type(error) in refusals and len(text) > 20:
        return type(error).__name__, text
    return f"other: {type(error).__name__}", traceback.format_exc()


@contextlib.contextmanager
def _limit(seconds: int) -> Iterator[None]:
    def give_up(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run(total: int, only: str | None = None, first: int = 0) -> list[Outcome]:
    """Hand in so many inputs, as many of each target as its weight says."""
    names = [only] if only else list(TARGETS)
    weights = {name: TARGETS[name].weight for name in names}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            count = round(total * weights[name] / sum(weights.values()))
            began = time.process_time()
            for seed in range(first, first + count):
                outcome = attempt(name, seed, Path(folder))
                if outcome.is_fault:
                    print(f"\n{name} seed {seed}: {outcome.kind}, {outcome.seconds:.1f} s")
                    print(outcome.detail[-1500:], flush=True)
                found.append(outcome)
            spent = time.process_time() - began
            print(f"{name}: {count} inputs, {spent:.0f} s", file=sys.stderr, flush=True)
    return found


def report(outcomes: list[Outcome], seconds: float) -> list[str]:
    """Say how many were accepted, refused and by which error, and what was slowest."""
    by_target: dict[str, list[Outcome]] = defaultdict(list)
    for one in outcomes:
        by_target[one.target].append(one)
    rows = []
    for name, own in by_target.items():
        kinds = Counter(one.kind for one in own)
        refused = [
            f"{kind} {n}"
            for kind, n in kinds.most_common()
            if kind != "accepted" and not kind.startswith("other")
        ]
        other = sum(one.kind.startswith("other") for one in own)
        slowest = max(own, key=lambda one: one.seconds)
        rows.append(
            [name, TARGETS[name].what, len(own), kinds["accepted"], ", ".join(refused), other,
             f"{slowest.seconds:.2f} s (seed {slowest.seed})"]
        )  # fmt: skip
    faults = sum(one.is_fault for one in outcomes)
    slowest = max(outcomes, key=lambda one: one.seconds)
    accepted = sum(one.kind == "accepted" for one in outcomes)
    others = sum(one.kind.startswith("other") for one in outcomes)
    counts = [len(own) for own in by_target.values()]
    return [
        "Sound tables, files and specifications, each changed in one to three places, given to "
        "everything that reads what a user brings: bytes flipped, cut and doubled, encodings, "
        "columns and types exchanged, numbers no table should hold, dates of every kind, keys "
        "dropped, renamed and nested. An input is either accepted, and then finite and whole, or "
        "refused by an error of this package that says where and what to do. Anything else is a "
        "fault: errors of other packages, warnings, more than 5 s of processor time.",
        f"**{len(outcomes):,} inputs, {faults} faults.** {accepted:,} were accepted, "
        f"{len(outcomes) - accepted - others:,} refused. "
        f"Slowest: {slowest.seconds:.2f} s ({slowest.target}, seed {slowest.seed}). The whole run "
        f"took {seconds:.0f} s of processor time.",
        record.table(
            ["entry", "input", "inputs", "accepted", "refused by", "other", "slowest"], rows
        ),
        f"Seeds are 0 to the number of an entry's inputs less one (0 to {min(counts) - 1} at the "
        "least); `python benchmarks/fuzz.py --only ENTRY --seed N` makes one again. A slice of "
        "each is among the tests (`tests/fuzz`).",
    ]


def main() -> None:
    parser = record.parser(str(__doc__).splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000, help="how many")
    parser.add_argument("--only", choices=list(TARGETS), help="one entry")
    parser.add_argument("--seed", type=int, help="one input of it")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    options = parser.parse_args()
    if options.seed is not None:
        given = fuzz_targets.given(options.only, options.seed)
        print(f"{given!r:.3000}")
        with tempfile.TemporaryDirectory() as folder:
            one = attempt(options.only, options.seed, Path(folder))
        print(f"{one.kind}, {one.seconds:.2f} s\n{one.detail}")
        return
    began = time.process_time()
    outcomes = run(options.inputs, options.only, options.first)
    parts = report(outcomes, time.process_time() - began)
    record.publish("robustness", "Inputs that lie", parts, options.write)
    if any(one.is_fault for one in outcomes):
        raise SystemExit("There are faults: see above.")


if __name__ == "__main__":
    main()
