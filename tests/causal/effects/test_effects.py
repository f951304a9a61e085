"""Effects against closed forms, statsmodels and DoWhy, and the coverage of their intervals."""

from __future__ import annotations

import jax
import numpy as np
import pandas as pd
import pytest

from mmm_bayes import simulate
from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.causal.effects.design import chosen_adjustment
from mmm_bayes.causal.effects.effects import average_treatment_effect, effects_table
from mmm_bayes.causal.effects.media import MediaTransform, choose_transforms, media_transforms
from mmm_bayes.causal.identify.criteria import IdentificationError
from mmm_bayes.runtime.findings import DataError, DataWarning
from tests.causal.effect_tables import DIRECT, GRAPH, INDIRECT, TOTAL, weeks

KEY = jax.random.key(0)
EXACT = {"rel": 1e-8, "abs": 0.0}


@pytest.fixture(scope="module")
def frame():
    return weeks(1)


def ate(data, treatment="tv", **settings):
    return average_treatment_effect(KEY, data, GRAPH, treatment, **settings)


class TestLinear:
    def test_equals_statsmodels_on_the_same_set(self, frame):
        import statsmodels.api as sm

        found = ate(frame, contrast="per_unit")
        assert found.adjustment == ("season", "price")
        columns = sm.add_constant(frame[["tv", "season", "price"]])
        plain = sm.OLS(frame["sales"], columns).fit()
        assert found.value == pytest.approx(plain.params["tv"], **EXACT)

    def test_of_the_graph_finds_the_truth_and_others_do_not(self):
        data = weeks(2, 5_000)
        found = {
            effect: ate(data, contrast="per_unit", effect=effect, num_draws=10)
            for effect in ("total", "direct", "indirect")
        }
        for effect, true in (("total", TOTAL), ("direct", DIRECT), ("indirect", INDIRECT)):
            own = found[effect]
            assert abs(own.value - true) < 4 * own.standard_error, effect
            assert own.standard_error < 0.1
        with pytest.warns(DataWarning, match="search"):
            wrong = ate(data, contrast="per_unit", adjustment=["season", "search"], num_draws=10)
        assert abs(wrong.value - TOTAL) > 10 * wrong.standard_error
        assert any("search" in note for note in wrong.notes)

    def test_indirect_effect_is_the_product_of_coefficients(self, frame):
        # With the same covariates c - c' = a b holds exactly in least squares.
        found = ate(frame, effect="indirect", contrast="per_unit")
        names = ["tv", "season", "price"]
        a = _coefficients(frame, "search", names)[0]
        b = _coefficients(frame, "sales", ["search", *names])[0]
        assert found.value == pytest.approx(a * b, **EXACT)
        assert found.value == pytest.approx(found.parts[0].value - found.parts[1].value, **EXACT)

    def test_as_spent_is_the_slope_times_what_was_spent(self, frame):
        slope, spent = ate(frame, contrast="per_unit"), ate(frame)
        assert spent.value == pytest.approx(slope.value * frame["tv"].sum(), **EXACT)
        assert spent.rows() == pytest.approx(slope.value * frame["tv"].to_numpy(), rel=1e-8)
        assert spent.roas == pytest.approx(slope.value, **EXACT)
        assert spent.per_date == pytest.approx(spent.value / len(frame), **EXACT)

    def test_precise_set_has_the_smaller_error(self, frame):
        small, precise = ate(frame, precise=False), ate(frame)
        assert small.adjustment == ("season",)
        assert precise.standard_error < 0.85 * small.standard_error

    def test_collinear_columns_give_a_finite_answer(self, frame):
        twice = frame.assign(price=2.0 * frame["season"] + frame["tv"])
        assert np.isfinite(ate(twice).value)


class TestDoWhy:
    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [
            ("backdoor.linear_regression", "linear"),
            ("backdoor.generalized_linear_model", "log_linear"),
        ],
    )
    @pytest.mark.parametrize("contrast", ["per_unit", "as_spent_vs_zero"])
    def test_agrees_with_ours(self, frame, theirs, ours, contrast):
        pytest.importorskip("dowhy")
        one = ate(frame, estimator=theirs, contrast=contrast)
        other = ate(frame, estimator=ours, contrast=contrast)
        # A difference over a hundredth loses two digits of the coefficient's.
        assert one.value == pytest.approx(other.value, rel=1e-8)
        assert one.standard_error == pytest.approx(other.standard_error, rel=1e-6)

    def test_natural_effects_of_its_mediation_are_ours(self):
        pytest.importorskip("dowhy")
        import networkx as nx
        from dowhy.causal_estimators.linear_regression_estimator import LinearRegressionEstimator

        from mmm_bayes.causal.effects.dowhy_effects import dowhy, quiet

        rng = np.random.default_rng(3)
        x = rng.normal(size=200)
        m = 0.5 * x + rng.normal(size=200)
        data = pd.DataFrame({"x": x, "m": m, "y": x + 3.0 * m + rng.normal(size=200)})
        edges = [("x", "m"), ("m", "y"), ("x", "y")]
        stages = {
            "first_stage_model": LinearRegressionEstimator,
            "second_stage_model": LinearRegressionEstimator,
        }
        with quiet():
            model = dowhy().CausalModel(
                data, "x", "y", graph=nx.DiGraph(edges), effect_modifiers=[]
            )
        for kind, effect in (("nonparametric-nde", "direct"), ("nonparametric-nie", "indirect")):
            with quiet():
                estimand = model.identify_effect(
                    estimand_type=kind, proceed_when_unidentifiable=True
                )
                theirs = model.estimate_effect(
                    estimand, method_name="mediation.two_stage_regression", effect_modifiers=[],
                    method_params=stages,
                )  # fmt: skip
            ours = average_treatment_effect(
                KEY, data, CausalGraph(edges=edges), "x", "y", contrast="per_unit",
                effect=effect,
            )  # fmt: skip
            # Their first stage leaves the intercept's rounding: five digits are theirs.
            assert ours.value == pytest.approx(float(theirs.value), rel=0.05)


class TestNonlinear:
    @pytest.mark.parametrize("estimator", ["splines", "double_ml", "log_linear"])
    def test_near_the_linear_truth(self, estimator):
        if estimator == "double_ml":
            pytest.importorskip("sklearn")
        data = weeks(5, 600)
        found = ate(data, contrast="per_unit", estimator=estimator)
        # Trees leave some confounding at this size; the others are off by their errors.
        limit = 0.25 if estimator == "double_ml" else 4 * found.standard_error + 0.1
        assert abs(found.value - TOTAL) < limit

    def test_splines_find_a_curve_that_a_line_misses(self):
        rng = np.random.default_rng(6)
        z = rng.normal(size=1500)
        x = np.exp(0.6 * rng.normal(size=1500) + 0.3 * z)
        y = 10.0 * x / (1.0 + x) + 2.0 * z + 0.5 * rng.normal(size=1500)
        graph = CausalGraph(edges=[("z", "x"), ("z", "y"), ("x", "y")])
        data = pd.DataFrame({"x": x, "z": z, "y": y})
        found = {
            name: average_treatment_effect(KEY, data, graph, "x", "y", estimator=name,
                                           contrast="per_unit").value
            for name in ("linear", "splines")
        }  # fmt: skip
        true = np.mean(10.0 / (1.0 + x) ** 2)
        assert abs(found["splines"] - true) < 0.1 * true < abs(found["linear"] - true)

    def test_modifiers_give_the_effect_of_each_group(self):
        rng = np.random.default_rng(7)
        n = 1200
        dates = pd.date_range("2000-01-03", periods=n, freq="W-MON")
        warm = 1.0 - np.cos(2 * np.pi * dates.day_of_year.to_numpy() / 365.25)
        x = rng.exponential(size=n)
        y = (1.0 + warm) * x + rng.normal(size=n)
        graph = CausalGraph(edges=[("x", "y")], roles={"x": "channel", "y": "target"})
        data = pd.DataFrame({"date": dates, "x": x, "y": y})
        found = average_treatment_effect(KEY, data, graph, "x", modifiers=["season"], date="date")
        by_season = found.by("season")
        true = pd.Series((1.0 + warm) * x).groupby(found._labels("season")).sum()
        assert by_season["effect"].to_numpy() == pytest.approx(true.to_numpy(), rel=0.1)
        assert by_season["effect"].sum() == pytest.approx(found.value)
        assert ((by_season["low"] < true) & (true < by_season["high"])).all()
        assert by_season["roas"]["3 summer"] > 1.5 * by_season["roas"]["1 winter"]


class TestIntervals:
    @pytest.mark.parametrize("slope", [0.0, 0.6])
    def test_cover_total_and_indirect_effects(self, slope):
        runs = 100
        held = {"total": 0, "indirect": 0}
        for seed in range(runs):
            data = weeks(100 + seed, 150, slope)
            for effect, true in (("total", TOTAL), ("indirect", INDIRECT)):
                low, high = ate(data, contrast="per_unit", effect=effect, num_draws=1).interval
                held[effect] += low <= true <= high
        # 90% less and plus three Monte Carlo errors, and two points for robust errors of 150 rows.
        margin = 3 * np.sqrt(0.9 * 0.1 / runs) + 0.02
        for effect, count in held.items():
            assert abs(count / runs - 0.9) < margin, effect

    def test_bootstraps_agree_with_the_error(self, frame):
        wild = ate(frame, num_draws=2000)
        blocks = ate(frame, bootstrap="blocks", num_draws=300)
        # Draws are of Student's t, wider than the error by sqrt(dof / (dof - 2)).
        wide = wild.standard_error * np.sqrt(wild.dof / (wild.dof - 2))
        assert wild.draws.std() == pytest.approx(wide, rel=4 / np.sqrt(2 * 2000))
        assert blocks.draws.std() == pytest.approx(wild.standard_error, rel=0.25)
        assert blocks.interval == pytest.approx(tuple(np.quantile(blocks.draws, [0.05, 0.95])))

    def test_same_key_same_draws(self, frame):
        assert np.array_equal(ate(frame).draws, ate(frame).draws)


class TestMedia:
    def test_matches_a_loop(self):
        rng = np.random.default_rng(8)
        x = rng.exponential(size=20)
        own = MediaTransform(parameters={"alpha": 0.5, "ec": 1.5, "slope": 1.2}, max_lag=4)
        weights = 0.5 ** np.arange(4)
        weights /= weights.sum()
        unit = x[x > 0].mean()
        for t in range(20):
            carried = sum(weights[lag] * x[t - lag] / unit for lag in range(4) if t >= lag)
            true = carried**1.2 / (carried**1.2 + 1.5**1.2)
            assert own.apply(x)[t] == pytest.approx(true, rel=1e-10)

    def test_geos_do_not_share_carry_over(self):
        own = MediaTransform("geometric", "none", {"alpha": 0.5}, max_lag=3)
        one, two = np.array([4.0, 0.0, 0.0]), np.array([1.0, 0.0, 2.0])
        joined = own.apply(np.concatenate([one, two]), np.repeat([0, 1], 3), unit=1.0)
        apart = np.concatenate([own.apply(one, unit=1.0), own.apply(two, unit=1.0)])
        assert joined == pytest.approx(apart)

    def test_true_transforms_give_the_true_return(self):
        drawn = simulate.mmm(
            jax.random.key(1), num_dates=300, num_channels=3, num_controls=1, noise=0.02, trend=0.0,
            seasonality=0.0,
        )  # fmt: skip
        truth = drawn.truth
        names = [str(c) for c in drawn.data.channels]
        controls = [str(c) for c in drawn.data.controls]
        target = drawn.data.roles.target or "target"
        graph = CausalGraph(
            edges=[(name, target) for name in (*names, *controls)],
            roles={name: "channel" for name in names},
        )
        transform = {
            name: {
                "max_lag": 13,
                **{p: float(truth[p].sel(channel=name)) for p in ("alpha", "ec", "slope")},
            }
            for name in names
        }
        found = effects_table(KEY, drawn.data, graph, transform=transform)
        for name in names:
            own = found.estimate(name)
            true = float(truth["roas"].sel(channel=name))
            assert abs(own.roas - true) < 4 * own.standard_error * own.money_factor + 0.02 * true

    @pytest.mark.parametrize("criterion", ["profile", "held_out"])
    def test_search_prefers_the_true_carry_over(self, criterion):
        rng = np.random.default_rng(9)
        x = rng.exponential(size=300) * (rng.random(300) < 0.5)
        own = MediaTransform(parameters={"alpha": 0.75, "ec": 1.0, "slope": 1.0})
        y = 5.0 * own.apply(x) + 0.05 * rng.normal(size=300)
        found = choose_transforms(y, {"tv": x}, np.empty((300, 0)), criterion=criterion)["tv"]
        assert found.parameters["alpha"] == 0.75

    def test_wrong_names_are_all_told(self):
        with pytest.raises(ValueError, match=r"'tv'.*'ec'.*'slop'.*'slope'"):
            media_transforms({"tv": {"alpha": 0.5, "slop": 1.0}})
        with pytest.raises(ValueError, match=r"no adstock 'geometrc'.*geometric"):
            MediaTransform("geometrc")


class TestQuestions:
    def test_hidden_confounder_is_passed_on_with_what_helps(self, frame):
        graph = CausalGraph(edges=[("tv", "sales")], bidirected=[("tv", "sales")])
        with pytest.raises(IdentificationError, match="an experiment on"):
            average_treatment_effect(KEY, frame, graph, "tv", "sales")
        table = effects_table(KEY, frame, graph, ["tv"], "sales")
        assert "an experiment on" in table.refused["tv"]
        with pytest.raises(KeyError, match="an experiment on"):
            table.estimate("tv")

    def test_hidden_causes_keep_what_is_valid(self):
        graph = CausalGraph(
            edges=[("z", "x"), ("z", "y"), ("x", "y"), ("w", "y")], bidirected=[("w", "x")]
        )
        assert chosen_adjustment(graph, "x", "y", "total") == ("z", "w")
        assert chosen_adjustment(graph, "x", "y", "total", precise=False) == ("z", "w")
        graph = CausalGraph(
            edges=[("z", "x"), ("z", "y"), ("x", "y"), ("w", "y")],
            bidirected=[("w", "x"), ("w", "v"), ("v", "y")],
        )
        found = chosen_adjustment(graph, "x", "y", "total", latent=["v"])
        assert graph.is_adjustment_set("x", "y", found)

    def test_every_finding_at_once(self, frame):
        with pytest.raises(DataError) as caught:
            ate(frame, estimator="linaer", effect="all", num_draws=0, ci_prob=90)
        text = str(caught.value)
        for word in ("estimator", "effect", "num_draws", "ci_prob", "linear"):
            assert word in text

    def test_outcome_has_to_be_known(self, frame):
        with pytest.raises(DataError, match="target"):
            average_treatment_effect(KEY, frame, CausalGraph(edges=[("tv", "sales")]), "tv")

    def test_table_has_direct_effects_where_there_is_a_mediator(self, frame):
        found = effects_table(KEY, frame, GRAPH, date="week")
        pairs = [(own.treatment, own.effect) for own in found.estimates]
        assert pairs == [
            ("tv", "total"), ("tv", "direct"), ("tv", "indirect"), ("search", "total"),
        ]  # fmt: skip
        assert len(found.to_frame()) == 4
        assert "tv" in str(found)
        assert "<table" in found._repr_html_()
        assert set(found.estimate("tv", "indirect").by("year").index) == {2021, 2022, 2023}

    def test_never_zero_is_said(self, frame):
        always_on = frame.assign(tv=frame["tv"] + 50)
        least = always_on["tv"].min() / always_on["tv"].mean()
        assert any(f"{least:.0%} of the mean" in note for note in ate(always_on).notes)

    def test_panel_has_levels_of_geos(self):
        parts = [weeks(20 + i, 80).assign(geo=f"g{i}") for i in range(4)]
        for i, part in enumerate(parts):
            part["sales"] += 40.0 * i
            part["tv"] += 3.0 * i
        data = pd.concat(parts, ignore_index=True)
        found = ate(data, contrast="per_unit", geo="geo", date="week")
        # Levels shift tv and its mediator's share of sales alike only within geos.
        assert abs(found.value - TOTAL) < 4 * found.standard_error
        assert len(found.by("geo")) == 4


def _coefficients(frame, outcome, names):
    x = np.column_stack([frame[names].to_numpy(), np.ones(len(frame))])
    return np.linalg.lstsq(x, frame[outcome].to_numpy(), rcond=None)[0]
