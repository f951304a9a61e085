"""The page on which a person changes spend and sees the result."""

from __future__ import annotations

from collections.abc import Mapping

from mmm_bayes.present.report.blocks import Note, Planner, Section, Text
from mmm_bayes.present.report.channels import seen_multiples
from mmm_bayes.present.report.context import Context
from mmm_bayes.present.report.words import identifier


def planner_section(c: Context, recommended: Mapping[str, float] | None) -> Section:
    """Sliders for every channel that is paid for.

    Parameters
    ----------
    c
        The fit.
    recommended
        Recommended multiples of today's spend, by channel.
    """
    surface = c.surface
    shape, curves = surface.packed(c.paid)
    names = [c.data.channels[i] for i in c.paid]
    seen = [seen_multiples(c, i) for i in c.paid]
    outcome = c.target if c.price is not None else f"revenue from {c.target}"
    values = {
        "channels": names,
        "colours": c.paid,
        "spend": [float(c.spend[i]) for i in c.paid],
        "seen": [[round(x, 4) for x in pair] for pair in seen],
        "most": c.most,
        "reach": surface.reach,
        "additive": surface.additive,
        "shape": shape,
        "prob": c.ci_prob,
        "price": c.price or 1.0,
        "outcome": outcome,
        "periods": c.data.num_dates,
        "period": c.period,
        "recommended": None
        if not recommended
        else [round(float(recommended.get(name, 1.0)), 6) for name in names],
    }
    blocks: list[object] = [
        Text(
            f"Change a channel's spend and see what the model expects of {outcome} over the fitted "
            f"window, {c.window}, had all of the channel's spend been that much larger or smaller "
            "on every date. Prices and the timing of spend stay as they were. Everything is "
            "computed in this page, from "
            f"{shape['draws']:,} draws of the posterior."
        )
    ]
    if recommended:
        blocks.append(
            Note(
                "plain",
                "The recommended budget above is for its own dates. Here each channel's change is "
                "applied in proportion to the fitted window: total spend and gain may differ.",
            )
        )
    channels = tuple((name, identifier(name, i)) for i, name in enumerate(names))
    blocks.append(Planner(channels, values, curves))
    return Section("plan", "Try a budget", tuple(blocks))
