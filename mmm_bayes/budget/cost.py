"""The price of a channel's exposure, and how it rises with spend."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CostCurve:
    r"""Price of exposure that depends on the spend of a period (in a geo).

    .. math:: p(s) = p_0 \left(\frac{s}{s_0}\right)^{e}, \qquad
              \text{exposure}(s) = \frac{s}{p(s)}.

    Exposure grows like :math:`s^{1 - e}`: with an elasticity of 0.2, twice the spend raises the
    price per unit by 15%. Below a millionth of :math:`s_0` the price is constant.

    Attributes
    ----------
    elasticity
        ``e``: 0 (a fixed price) or more, and below 1.
    price
        ``p_0`` in money per media unit. The default is the channel's average price in each geo over
        the last observed year; for a window in the past, the price on each date.
    spend
        ``s_0`` in money per period and geo. The default is the geo's mean over the periods with
        spend in the last observed year.
    """

    elasticity: float = 0.0
    price: float | None = None
    spend: float | None = None
