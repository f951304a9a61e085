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
        "Sales without any media and with controls at their mean: level, trend, season and events.",
    ),
    (
        "Contribution",
        "The part of the target due to a channel: the expected target, minus the expected target "
        "with the channel off.",
    ),
    (
        "Control",
        "A variable that is not advertising but affects the target, such as price.",
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
        "The number of independent draws that would be as informative as the correlated draws of "
        "the sampler.",
    ),
    ("Exposure", "The amount of advertising: impressions, clicks, or the money itself."),
    (
        "Lift test",
        "An experiment on a channel, in some geos and weeks: spend is changed on purpose, and the "
        "outcome is compared with that of places where it was not.",
    ),
    (
        "Marginal ROAS",
        "Revenue from the next unit of money, measured as 1% more spend on every date.",
    ),
    (
        "Posterior",
        "Knowledge of a quantity after seeing the data: many plausible values, the draws.",
    ),
    ("Prior", "Knowledge of a quantity assumed before seeing the data."),
    ("R-hat", "Whether the chains of the sampler agree: close to 1 if they do."),
    (
        "Response curve",
        "The contribution of a channel as a function of its spend; it flattens where the channel "
        "saturates.",
    ),
    (
        "ROAS",
        "Return on ad spend: revenue due to a channel per unit of money spent on it.",
    ),
    ("Saturation", "Each additional unit of money adds less than the one before."),
)


def terms_section() -> Section:
    """Define the words of the report."""
    return Section("terms", "Terms", (Facts(TERMS),))
