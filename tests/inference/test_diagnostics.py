import json
import time

import arviz_stats
import numpy as np
import pytest
import xarray as xr

from mmm_bayes.inference.diagnostics import (
    DiagnosticsThresholds,
    Finding,
    combine,
    diagnose_sampling,
)

CHANNELS = ["tv", "radio", "search"]
CHAINS, DRAWS = 4, 500


def healthy(seed=0, *, chains=CHAINS, draws=DRAWS, prior_draws=500):
    """A tree of independent draws: the posterior is narrower than its prior, and inside it."""
    rng = np.random.default_rng(seed)
    channel = {"channel": CHANNELS}
    posterior = xr.Dataset(
        {
            "alpha": (("chain", "draw", "channel"), rng.beta(8, 6, (chains, draws, 3))),
            "sigma": (("chain", "draw"), rng.gamma(20, 0.02, (chains, draws))),
        },
        coords=channel,
    )
    prior = xr.Dataset(
        {
            "alpha": (("chain", "draw", "channel"), rng.beta(2, 2, (1, prior_draws, 3))),
            "sigma": (("chain", "draw"), np.abs(rng.normal(0, 1, (1, prior_draws)))),
        },
        coords=channel,
    )
    stats = xr.Dataset(
        {
            "diverging": (("chain", "draw"), np.zeros((chains, draws), dtype=bool)),
            "energy": (("chain", "draw"), rng.normal(size=(chains, draws))),
            "tree_depth": (("chain", "draw"), rng.integers(3, 5, (chains, draws))),
            "acceptance_rate": (("chain", "draw"), rng.uniform(0.7, 1.0, (chains, draws))),
        }
    )
    return xr.DataTree.from_dict({"posterior": posterior, "prior": prior, "sample_stats": stats})


def changed(tree, group, **arrays):
    """A copy of the tree with these variables of a group replaced."""
    groups = {name: node.to_dataset() for name, node in tree.children.items()}
    for name, values in arrays.items():
        groups[group] = groups[group].assign({name: groups[group][name].copy(data=values)})
    return xr.DataTree.from_dict(groups)


def without(tree, *groups):
    return xr.DataTree.from_dict(
        {name: node.to_dataset() for name, node in tree.children.items() if name not in groups}
    )


def found(report):
    return [(f.check, f.severity, f.where) for f in report.findings]


def test_healthy_run_passes_with_its_figures():
    tree = healthy()
    report = diagnose_sampling(tree)
    assert report.verdict == "PASS"
    assert report.findings == ()
    assert report.stats["skipped"] == ()
    assert report.stats["num_divergences"] == 0
    assert report.stats["num_quantities"] == 4
    assert report.table["alpha"].dims == ("diagnostic", "channel")
    assert list(report.table["alpha"]["channel"].values) == CHANNELS
    for row, expected in (
        ("rhat", arviz_stats.rhat(tree)),
        ("ess_bulk", arviz_stats.ess(tree)),
        ("ess_tail", arviz_stats.ess(tree, method="tail", prob=(0.05, 0.95))),
    ):
        for name in ("alpha", "sigma"):
            np.testing.assert_allclose(
                report.table[name].sel(diagnostic=row), expected[name], rtol=1e-9
            )


def test_false_alarms_are_rare_on_healthy_runs():
    # 100 runs of 4 quantities. R-hat and effective draws can't trip at this size; a prior tail
    # check is held to 0.3% per variable, so more than 3 alarms have a chance below 1%.
    alarms = [found(diagnose_sampling(healthy(seed))) for seed in range(1, 101)]
    assert sum(map(bool, alarms)) <= 3, [a for a in alarms if a]


def autocorrelated(seed, phi, quantities):
    """Four chains of 500 steps of an autoregression with unit variance."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(CHAINS, DRAWS, quantities))
    for t in range(1, DRAWS):
        x[:, t] = phi * x[:, t - 1] + np.sqrt(1 - phi**2) * x[:, t]
    posterior = xr.Dataset({"b": (("chain", "draw", "k"), x)})
    return xr.DataTree.from_dict({"posterior": posterior})


def test_rhat_of_many_correlated_quantities_is_not_blamed_on_a_chain_by_chance():
    # About 680 effective draws of each of 40 quantities: R-hat passes 1.01 in most mixed runs, and
    # the limit allows 0.5% of alarms per run; more than 2 in 30 have a chance below 0.1%.
    reports = [diagnose_sampling(autocorrelated(seed, 0.5, 40)) for seed in range(30)]
    assert sum(r.stats["max_rhat"] > 1.01 for r in reports) > 10
    checks = [f.check for r in reports for f in r.findings]
    assert sum(c in {"rhat", "chain_elsewhere", "stuck_chain"} for c in checks) <= 2


def test_chain_elsewhere_is_named_with_its_place():
    tree = healthy()
    alpha = tree["posterior"]["alpha"].values.copy()
    alpha[2, :, 0] += 0.35
    report = diagnose_sampling(changed(tree, "posterior", alpha=alpha))
    assert report.verdict == "FAIL"
    assert found(report)[:2] == [
        ("chain_elsewhere", "error", "chain 2"),
        ("rhat", "error", "alpha[tv]"),
    ]
    here, rest = alpha[2, :, 0].mean(), alpha[[0, 1, 3], :, 0].mean()
    message = report.findings[0].message
    assert f"alpha[tv] {here:.3g} against {rest:.3g}" in message
    assert "chain 2" in report.findings[1].remedy


def test_a_chain_of_the_same_mean_is_said_to_be_spread_otherwise():
    tree = healthy()
    alpha = tree["posterior"]["alpha"].values.copy()
    centre = alpha[2, :, 0].mean()
    alpha[2, :, 0] = centre + 0.3 * (alpha[2, :, 0] - centre)
    report = diagnose_sampling(changed(tree, "posterior", alpha=alpha))
    message = next(f.message for f in report.findings if f.check == "chain_elsewhere")
    assert "Chain 2" in message
    assert "standard deviation of alpha[tv]" in message


def test_two_groups_of_chains_are_two_modes_and_no_chain_is_blamed():
    tree = healthy()
    sigma = tree["posterior"]["sigma"].values.copy()
    sigma[[1, 3]] += 2.0
    report = diagnose_sampling(changed(without(tree, "prior"), "posterior", sigma=sigma))
    checks = [f.check for f in report.findings]
    assert "chain_elsewhere" not in checks
    assert "stuck_chain" not in checks
    rhat = report.findings[checks.index("rhat")]
    assert (rhat.severity, rhat.where) == ("error", "sigma")
    assert "in chains 0, 2;" in rhat.message
    assert "in chains 1, 3." in rhat.message
    assert "two modes" in rhat.remedy


def test_two_chains_that_differ_blame_neither():
    tree = without(healthy(chains=2), "prior")
    sigma = tree["posterior"]["sigma"].values.copy()
    sigma[1] += 2.0
    report = diagnose_sampling(changed(tree, "posterior", sigma=sigma))
    assert "rhat" in {f.check for f in report.findings}
    assert not {"chain_elsewhere", "stuck_chain"} & {f.check for f in report.findings}


def test_chain_that_does_not_move_is_stuck():
    tree = healthy()
    posterior = {name: v.values.copy() for name, v in tree["posterior"].to_dataset().items()}
    for values in posterior.values():
        values[1] = values[1, :1]
    report = diagnose_sampling(changed(tree, "posterior", **posterior))
    assert found(report)[0] == ("stuck_chain", "error", "chain 1")
    assert report.verdict == "FAIL"


def test_chain_without_accepted_proposals_is_stuck():
    tree = healthy()
    rate = tree["sample_stats"]["acceptance_rate"].values.copy()
    rate[3] = 0.01
    report = diagnose_sampling(changed(tree, "sample_stats", acceptance_rate=rate))
    assert found(report) == [("stuck_chain", "error", "chain 3")]
    assert report.findings[0].value == pytest.approx(0.01)


def test_run_in_which_nothing_moves_fails():
    posterior = xr.Dataset({"beta": (("chain", "draw"), np.ones((4, 100)))})
    report = diagnose_sampling(xr.DataTree.from_dict({"posterior": posterior}))
    assert found(report) == [("stuck_chain", "error", "all chains")]


def test_constant_parameter_beside_moving_ones_is_no_fault():
    tree = healthy()
    fixed = tree["posterior"].to_dataset().assign(ec=(("chain", "draw"), np.ones((CHAINS, DRAWS))))
    report = diagnose_sampling(
        xr.DataTree.from_dict({"posterior": fixed, "prior": tree["prior"].to_dataset()})
    )
    assert report.verdict == "PASS"
    assert np.isnan(report.table["ec"].sel(diagnostic="rhat"))


@pytest.mark.parametrize(
    ("phi", "severity", "words"),
    [(0.8, "warning", "Raise num_samples to about"), (0.995, "error", None)],
)
def test_few_effective_draws(phi, severity, words):
    tree = without(healthy(), "prior")
    sigma = autocorrelated(5, phi, 1)["posterior"]["b"].values[..., 0]
    report = diagnose_sampling(changed(tree, "posterior", sigma=sigma))
    bulk = next(f for f in report.findings if f.check == "ess_bulk")
    assert (bulk.severity, bulk.where) == (severity, "sigma")
    assert bulk.value == pytest.approx(float(report.table["sigma"].sel(diagnostic="ess_bulk")))
    if words:
        assert words in bulk.remedy
    else:
        assert "rhat" in {f.check for f in report.findings}


def test_divergences_are_counted_and_placed():
    tree = healthy()
    sigma = tree["posterior"]["sigma"].values
    diverging = sigma <= np.sort(sigma.ravel())[14]  # the 15 lowest
    report = diagnose_sampling(changed(tree, "sample_stats", diverging=diverging))
    assert found(report) == [("divergences", "warning", "sigma")]
    (finding,) = report.findings
    assert finding.value == pytest.approx(15 / (CHAINS * DRAWS))
    assert finding.message.startswith("15 divergent draws")
    assert "sigma is low" in finding.message
    assert "target_accept to 0.95" in finding.remedy


def test_scattered_divergences_are_not_placed_but_their_chain_is():
    tree = healthy()
    diverging = np.zeros((CHAINS, DRAWS), dtype=bool)
    diverging[1, np.random.default_rng(6).choice(DRAWS, 100, replace=False)] = True
    report = diagnose_sampling(changed(tree, "sample_stats", diverging=diverging))
    assert found(report) == [("divergences", "error", "all chains")]  # 5% of the draws
    assert "100 of them in chain 1" in report.findings[0].message


def test_low_bfmi_names_the_chain_and_what_moves_the_energy():
    tree = healthy()
    rng = np.random.default_rng(7)
    energy = tree["sample_stats"]["energy"].values.copy()
    energy[2] = rng.normal(size=DRAWS).cumsum()
    sigma = tree["posterior"]["sigma"].values.copy()
    sigma[2] = 0.4 + 0.1 * (energy[2] - energy[2].mean()) / energy[2].std()
    report = diagnose_sampling(
        changed(changed(tree, "sample_stats", energy=energy), "posterior", sigma=sigma)
    )
    finding = next(f for f in report.findings if f.check == "bfmi")
    assert (finding.severity, finding.where) == ("error", "chain 2")
    assert "sigma" in finding.message
    steps, spread = np.diff(energy[2]), energy[2] - energy[2].mean()
    assert finding.value == pytest.approx((steps**2).mean() / ((spread**2).sum() / (DRAWS - 1)))


def test_depth_limit_is_read_from_flags_depths_or_steps():
    tree = without(healthy(), "prior")
    depth = tree["sample_stats"]["tree_depth"].values.copy()
    depth[:, : DRAWS // 4] = 10
    stats = tree["sample_stats"].to_dataset()
    dims = ("chain", "draw")
    versions = {
        "depths": changed(tree, "sample_stats", tree_depth=depth)["sample_stats"].to_dataset(),
        "flags": stats.assign(reached_max_treedepth=(dims, depth == 10)),
        "steps": stats.drop_vars("tree_depth").assign(
            num_steps=(dims, np.where(depth == 10, 2**10 - 1, 15))
        ),
    }
    for name, dataset in versions.items():
        report = diagnose_sampling(
            xr.DataTree.from_dict(
                {"posterior": tree["posterior"].to_dataset(), "sample_stats": dataset}
            )
        )
        assert found(report) == [("tree_depth", "warning", "all chains")], name
        assert report.findings[0].value == pytest.approx(0.25)


def test_prior_conflict_names_the_channel():
    tree = healthy()
    rng = np.random.default_rng(8)
    prior = tree["prior"]["alpha"].values.copy()
    prior[..., 1] = rng.beta(2, 40, prior.shape[:2])
    report = diagnose_sampling(changed(tree, "prior", alpha=prior))
    assert found(report) == [("prior_conflict", "warning", "alpha[radio]")]
    assert "lies above" in report.findings[0].message
    assert "radio" in report.findings[0].remedy


def test_posterior_equal_to_prior_names_the_channel():
    tree = healthy()
    rng = np.random.default_rng(9)
    alpha = tree["posterior"]["alpha"].values.copy()
    alpha[..., 2] = rng.beta(2, 2, alpha.shape[:2])
    report = diagnose_sampling(changed(tree, "posterior", alpha=alpha))
    assert found(report) == [("prior_equals_posterior", "warning", "alpha[search]")]
    assert "say nothing about alpha[search]" in report.findings[0].message
    assert "lift test for search" in report.findings[0].remedy


@pytest.mark.parametrize(("scale", "shift"), [(0.6, 0.0), (1.0, 0.5)])
def test_posterior_that_learned_something_is_not_called_equal(scale, shift):
    # Overlap of N(0, 1) with N(0, 0.6) is 0.75, with N(0.5, 1) 0.80: both well under 0.9.
    rng = np.random.default_rng(10)
    dims = ("chain", "draw", "k")
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"z": (dims, shift + scale * rng.normal(size=(4, 500, 20)))}),
            "prior": xr.Dataset({"z": (dims, rng.normal(size=(1, 1000, 20)))}),
        }
    )
    assert diagnose_sampling(tree).verdict == "PASS"


def test_many_unidentified_elements_are_reported_together():
    rng = np.random.default_rng(11)
    dims = ("chain", "draw", "geo")
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"z": (dims, rng.normal(size=(4, 500, 12)))}),
            "prior": xr.Dataset({"z": (dims, rng.normal(size=(1, 1000, 12)))}),
        }
    )
    report = diagnose_sampling(tree)
    assert [f.check for f in report.findings] == ["prior_equals_posterior"]
    assert "12 of the 12 elements" in report.findings[0].message


def test_non_finite_draws_fail_and_leave_the_rest_checked():
    tree = healthy()
    alpha = tree["posterior"]["alpha"].values.copy()
    alpha[0, 3, 1], alpha[2, 5:7, 0] = np.nan, np.inf
    report = diagnose_sampling(changed(tree, "posterior", alpha=alpha))
    assert found(report) == [("non_finite", "error", "alpha[tv]")]
    assert "alpha[tv] (2), alpha[radio] (1)" in report.findings[0].message
    rhat = report.table["alpha"].sel(diagnostic="rhat")
    assert np.isnan(rhat.sel(channel=["tv", "radio"])).all()
    assert np.isfinite(rhat.sel(channel="search"))


def test_draws_of_variational_inference_need_no_chains():
    rng = np.random.default_rng(12)
    posterior = xr.Dataset({"beta": (("sample", "channel"), rng.normal(size=(1000, 3)))})
    report = diagnose_sampling(xr.DataTree.from_dict({"posterior": posterior}))
    assert report.verdict == "PASS"
    assert report.stats["num_chains"] == 1
    assert {reason.split(" (")[0] for reason in report.stats["skipped"]} == {
        "divergences, E-BFMI, tree depth",
        "prior against posterior",
        "agreement of chains",
    }
    assert "Not checked: divergences" in str(report)


def test_few_prior_draws_are_not_compared():
    report = diagnose_sampling(healthy(prior_draws=50))
    assert any("fewer than 100 prior draws" in reason for reason in report.stats["skipped"])


def test_var_names_choose_and_unknown_ones_suggest():
    tree = healthy()
    assert list(diagnose_sampling(tree, var_names=["sigma"]).table) == ["sigma"]
    with pytest.raises(ValueError, match="no variable 'alhpa'; did you mean 'alpha'"):
        diagnose_sampling(tree, var_names=["alhpa"])
    with pytest.raises(ValueError, match="no group 'posterior'"):
        diagnose_sampling(without(tree, "posterior"))
    with pytest.raises(ValueError, match="at least 4"):
        diagnose_sampling(healthy(draws=3))


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"rhat_review": 1.2}, "rhat_review"),
        ({"bfmi_fail": 0.5}, "bfmi_fail"),
        ({"overlap_review": 0.0}, "must be positive"),
    ],
)
def test_thresholds_are_checked(limits, words):
    with pytest.raises(ValueError, match=words):
        DiagnosticsThresholds(**limits)


def test_combined_findings_decide_the_verdict_and_lead():
    report = diagnose_sampling(healthy())
    look = Finding(
        check="roas",
        severity="warning",
        where="tv",
        value=40.0,
        threshold=20.0,
        message="ROAS of tv is 40.",
        remedy="Check its spend.",
    )
    bad = Finding(
        check="baseline",
        severity="error",
        where="model",
        value=-3.0,
        threshold=0.0,
        message="The baseline is < 0.",
        remedy="Tighten beta.",
    )
    assert combine(report, []).verdict == "PASS"
    assert combine(report, [look]).verdict == "REVIEW"
    both = combine(combine(report, [look]), [bad])
    assert both.verdict == "FAIL"
    assert both.findings == (bad, look)
    assert report.findings == ()
    with pytest.raises(ValueError, match="'error', 'warning' or 'note'"):
        Finding(
            check="roas",
            severity="fail",
            where="tv",
            value=0.0,
            threshold=0.0,
            message="",
            remedy="",
        )

    text = str(both)
    assert text.startswith("Diagnostics: FAIL")
    assert max(map(len, text.splitlines())) <= 100
    assert text.index("FAIL    The baseline") < text.index("REVIEW  ROAS of tv")
    page = both._repr_html_()
    assert "The baseline is &lt; 0." in page
    plain = json.loads(json.dumps(both.to_dict(), allow_nan=False))
    assert [f["check"] for f in plain["findings"]] == ["baseline", "roas"]
    assert plain["table"]["alpha"]["dims"] == ["channel"]
    assert len(plain["table"]["alpha"]["rhat"]) == 3


def test_hundreds_of_quantities_take_about_a_second():
    rng = np.random.default_rng(13)
    posterior = xr.Dataset({"b": (("chain", "draw", "k"), rng.normal(size=(4, 1000, 300)))})
    tree = xr.DataTree.from_dict({"posterior": posterior})
    start = time.process_time()
    assert diagnose_sampling(tree).verdict == "PASS"
    assert time.process_time() - start < 3.0  # about 0.4 s on one core; slack for a loaded one
