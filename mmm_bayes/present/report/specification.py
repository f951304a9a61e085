"""How the figures were made: model, priors, sampler, versions."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from mmm_bayes._version import __version__
from mmm_bayes.model.priors import PriorSpec
from mmm_bayes.model.spec import EFFECT_SITE, transform_parameters
from mmm_bayes.present.report.blocks import Code, Facts, Heading, Section, Table
from mmm_bayes.present.report.context import Context

_PACKAGES = ("jax", "numpyro", "numpy", "xarray", "arviz", "plotly")
_FAMILIES = {
    "normal": "normal (effects add up)",
    "student_t": "Student t (effects add up, outliers weigh less)",
    "log_normal": "log-normal (effects multiply)",
    "poisson": "Poisson (counts, effects multiply)",
    "negative_binomial": "negative binomial (counts, effects multiply)",
}


def model_section(c: Context, written: str) -> Section:
    """Specification, priors and how the fit was made.

    Parameters
    ----------
    c
        The fit.
    written
        Date of the report.
    """
    spec, sizes = c.fitted.spec, c.fitted.tree["posterior"].sizes
    seasons = ", ".join(
        f"{s.period if isinstance(s.period, str) else f'{s.period:g} days'} (order {s.order})"
        for s in spec.seasonality
    )
    facts = [
        ("Model", spec.name + (f": {spec.description}" if spec.description else "")),
        ("Likelihood", _FAMILIES[spec.likelihood.family]),
        ("Trend", spec.trend.kind),
        ("Seasonality", seasons or "none"),
        ("Carry-over followed for", f"{spec.media.max_lag} {c.period}s, including the first"),
    ]
    if spec.events:
        facts.append(("Events", ", ".join(event.name for event in spec.events)))
    if not c.data.is_national:
        facts.append(("Media effects by geo", spec.geo.media))
    blocks: list[object] = [
        Facts(tuple(facts)),
        _priors(c),
        Code("Specification (TOML)", spec.to_toml() or "# all defaults\n"),
        Heading("How the fit was made"),
        Facts(tuple(_run(c, sizes["chain"], sizes["draw"], written))),
    ]
    return Section("model", "Model and provenance", tuple(blocks))


def _run(c: Context, chains: int, draws: int, written: str) -> list[tuple[str, str]]:
    sampler, made = c.fitted.spec.sampler, c.attribute
    items = [
        ("Inference", str(made("inference", "not recorded"))),
        ("Draws", f"{chains} chains of {draws:,}"),
    ]
    if "SVI" not in str(made("inference", "")):
        items += [
            ("Warm-up", f"{sampler.num_warmup:,} iterations per chain"),
            ("Target acceptance", f"{sampler.target_accept:g}"),
            ("Largest tree depth", str(sampler.max_tree_depth)),
        ]
    items.append(("Precision", str(made("precision", sampler.real))))
    # A key may be kept under either name, as text or as its words.
    seed = made("rng_key", made("seed"))
    items.append(("Seed (random key)", "not recorded with this fit" if seed is None else str(seed)))
    if (seconds := made("wall_seconds")) is not None:
        items.append(("Time of the fit", f"{float(seconds):.0f} s"))
    fitted_with = c.fitted.tree.attrs.get("mmm_bayes_version", __version__)
    items += [
        ("Fitted with", f"mmm_bayes {fitted_with}"),
        ("Report written with", f"mmm_bayes {__version__}, " + ", ".join(_versions())),
        ("Report of", written),
    ]
    return items


def _versions() -> list[str]:
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return found


def _priors(c: Context) -> Table:
    """Priors of media parameters by channel, and of the other parts."""
    spec, rows = c.fitted.spec, []
    for channel in c.data.channels:
        adstock, saturation, effect = spec.channel_transforms(channel)
        kernel, curve = transform_parameters(adstock, saturation)
        for name in (*kernel, *curve, EFFECT_SITE[effect]):
            part = "effect" if name == EFFECT_SITE[effect] else saturation
            part = f"adstock ({adstock})" if name in kernel else part
            part = f"saturation ({saturation})" if name in curve else part
            rows.append((channel, part, name, _in_words(spec.media_prior(channel, name))))
    rows.append(("baseline", "intercept", "intercept", _in_words(spec.intercept)))
    rows += [
        ("control", "coefficient", name, _in_words(spec.control_prior(name)))
        for name in c.data.controls
    ]
    rows.append(("noise", "scale", "sigma", _in_words(spec.likelihood.sigma)))
    return Table(
        "Priors, in the model's own scale (exposure over its mean, target in standard deviations)",
        ("Of", "Part", "Parameter", "Prior"),
        tuple(rows),
        (1, 2, 3),
        True,
    )


def _in_words(prior: PriorSpec) -> str:
    given = prior.model_dump(exclude_none=True, exclude={"dist"})
    return f"{prior.dist}({', '.join(f'{name}={value:g}' for name, value in given.items())})"
