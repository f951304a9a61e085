"""What exposure costs: a channel's price, and how it rises with spend."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CostCurve:
    r"""Price of exposure that depends on the spend of a period (in a geo).

    .. math:: p(s) = p_0 \left(\frac{s}{s_0}\right)^{e}, \qquad
              \text{exposure}(s) = \frac{s}{p(s)}.

    Exposure grows like :math:`s^{1 - e}`: an elasticity of 0.2 makes twice the spend 15% dearer a
    unit. Below a millionth of :math:`s_0` the price stays as it is there.

    Attributes
    ----------
    elasticity
        ``e``, from 0 (a fixed price) to below 1.
    price
        ``p_0`` in money a media unit; by default the channel's average (by geo) over the last
        observed year, or in a window of the past the price of each date.
    spend
        ``s_0`` in money a period and geo; by default the mean where the channel spent, in that
        geo over the last observed year.
    """

    elasticity: float = 0.0
    price: float | None = None
    spend: float | None = None
