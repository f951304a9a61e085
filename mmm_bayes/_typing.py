"""Array aliases with their shapes, and the names of axes.

An alias names the axes of an array; ``*#batch`` stands for any leading axes that broadcast.
The shapes are documentation at run time and are checked in tests only.
"""

from typing import Final

import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, PRNGKeyArray, Real, UInt32

__all__ = [
    "CHAIN",
    "CHANNEL",
    "CONTROL",
    "DATE",
    "DRAW",
    "GEO",
    "LAG",
    "NODE",
    "SHOP",
    "Array",
    "ArrayLike",
    "Basis",
    "Broadcast",
    "Carried",
    "Kernel",
    "KernelLike",
    "LagTensor",
    "LagTensorLike",
    "Number",
    "Parameter",
    "Response",
    "RngKey",
    "Series",
    "Times",
    "Vector",
]

# Names of axes, as they appear in labelled results.
CHAIN: Final = "chain"
DRAW: Final = "draw"
DATE: Final = "date"
GEO: Final = "geo"
CHANNEL: Final = "channel"
CONTROL: Final = "control"
SHOP: Final = "shop"
NODE: Final = "node"
LAG: Final = "lag"

RngKey = PRNGKeyArray | UInt32[Array, "2"] | int  # whatever as_key takes

Number = float | int | np.number
Parameter = Real[ArrayLike, "*#batch"]
Series = Real[ArrayLike, "*#batch time"]
Carried = Real[ArrayLike, "*#batch history"]
Response = Float[Array, "*#batch time"]
Broadcast = Float[Array, "*#batch"]
Kernel = Float[Array, "*#batch lag"]
LagTensor = Float[Array, "*#batch lag time"]
KernelLike = Real[ArrayLike, "*#batch weight"]
LagTensorLike = Real[ArrayLike, "*#batch lag time"]
Times = Real[ArrayLike, " time"]
Basis = Float[Array, "time basis"]
Vector = Float[Array, " basis"]
