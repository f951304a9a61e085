"""Options that several commands have, with the bounds within which they make sense."""

from __future__ import annotations

from typing import Annotated

import typer

_MOST = 1_000_000

Seed = Annotated[
    int,
    typer.Option(help="Random seed: the same seed gives the same numbers.", min=0, max=2**32 - 1),
]
Draws = Annotated[
    int | None, typer.Option(help="Number of draws to keep per chain.", min=4, max=_MOST)
]
Warmup = Annotated[
    int | None, typer.Option(help="Number of warm-up iterations per chain.", min=20, max=_MOST)
]
Chains = Annotated[int | None, typer.Option(help="Number of chains.", min=1, max=10_000)]
