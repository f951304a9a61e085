import pickle

import pytest

from mmm_bayes.runtime.findings import Finding, by_severity


def test_old_names_of_a_finding_warn_and_still_work():
    finding = Finding("rhat", "error", "R-hat is 1.4.", "Draw more.", "alpha[tv]", value=1.4)
    for old, value in (("column", "alpha[tv]"), ("subject", "alpha[tv]"), ("advice", "Draw more.")):
        with pytest.warns(DeprecationWarning, match=r"Finding\.(where|remedy)"):
            assert getattr(finding, old) == value
    with pytest.warns(DeprecationWarning, match="'error'"):
        assert finding.severity == "fail"
    with pytest.warns(DeprecationWarning, match="'warning'"):
        assert finding.severity != "review"


def test_a_finding_is_a_value():
    finding = Finding("rhat", "error", "R-hat is 1.4.")
    assert pickle.loads(pickle.dumps(finding)) == finding
    assert str(finding) == "R-hat is 1.4."
    assert {finding.severity} == {"error"}
    with pytest.raises(ValueError, match="'error', 'warning' or 'note'"):
        Finding("rhat", "grave", "")  # type: ignore[arg-type]


def test_the_most_serious_findings_come_first():
    order = [Finding("a", s, "") for s in ("note", "error", "warning", "error")]
    assert [f.severity for f in by_severity(order)] == ["error", "error", "warning", "note"]
