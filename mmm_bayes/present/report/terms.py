"""Short definitions of the words a report uses."""

from __future__ import annotations

from mmm_bayes.present.report.blocks import Facts, Section

TERMS: tuple[tuple[str, str], ...] = (
    (
        "Adstock (carry-over)",
        "The part of an advertisement's effect that comes after the period in which it ran.",
    ),
    (
        "Baseline",
        "What would be sold without media and with controls at their mean: level, trend, season "
        "and events.",
    ),
    (
        "Contribution",
        "What a channel brought: the expected target less what it would have been with the channel "
        "off.",
    ),
    (
        "Control",
        "A variable that is no advertising but moves the target, such as price.",
    ),
    (
        "Credible interval",
        "The range in which a quantity lies with the stated probability, given model, priors and "
        "data. Equal tails are left out on both sides.",
    ),
    (
        "Divergence",
        "A step of the sampler that went wrong: it may have missed a part of the posterior.",
    ),
    (
        "Effective draws",
        "How many independent draws the correlated ones of the sampler are worth.",
    ),
    ("Exposure", "The amount of advertising: impressions, clicks, or the money itself."),
    (
        "Lift test",
        "An experiment on a channel, in some geos and weeks: spend is changed on purpose, and the "
        "outcome compared with that of places where it was not.",
    ),
    (
        "Marginal ROAS",
        "Revenue that the next unit of money brings, measured on 1% more spend on every date.",
    ),
    ("Posterior", "What is known of a quantity after the data: many plausible values, the draws."),
    ("Prior", "What was taken to be known of a quantity before the data."),
    ("R-hat", "Whether the chains of the sampler agree: close to 1 if they do."),
    (
        "Response curve",
        "What a channel brings over its spend; it flattens where the channel saturates.",
    ),
    (
        "ROAS",
        "Return on ad spend: revenue a channel brought per unit of money spent on it.",
    ),
    ("Saturation", "Every further unit of money brings less than the one before."),
)


def terms_section() -> Section:
    """The words of the report."""
    return Section("terms", "Terms", (Facts(TERMS),))
