"""Published results of CausalMMM: Tables 3 to 7 of Gong et al. (2024), WSDM.

C. Gong, D. Yao, L. Zhang, S. Chen, W. Li, Y. Su, J. Bi (2024), *CausalMMM: Learning Causal
Structure for Marketing Mix Modeling*. Proceedings of WSDM '24. Means and standard deviations of ten
trials, in the order ACC, AUROC; the same columns as printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Published(NamedTuple):
    """Mean and standard deviation of both measures."""

    accuracy: float
    accuracy_sd: float
    auroc: float
    auroc_sd: float


_TABLE_3 = """
Linear Granger | 0.630 0.101 0.628 0.147 | 0.624 0.196 0.661 0.020
NGC            | 0.667 0.251 0.694 0.170 | 0.596 0.235 0.639 0.265
GVAR           | 0.839 0.110 0.847 0.092 | 0.784 0.148 0.859 0.149
InGRA          | 0.877 0.096 0.863 0.082 | 0.856 0.098 0.854 0.083
CM-rw          | 0.921 0.037 0.924 0.049 | 0.858 0.053 0.871 0.071
CM-markov      | 0.872 0.039 0.887 0.051 | 0.832 0.087 0.865 0.062
CausalMMM      | 0.923 0.020 0.935 0.012 | 0.892 0.033 0.903 0.015
"""

_TABLE_4 = """
Linear Granger | 0.612 0.125 0.644 0.017 | 0.624 0.018 0.661 0.020 | 0.580 0.116 0.603 0.058
NGC            | 0.623 0.278 0.665 0.151 | 0.596 0.235 0.639 0.265 | 0.534 0.212 0.595 0.120
GVAR           | 0.842 0.158 0.884 0.072 | 0.784 0.148 0.859 0.149 | 0.792 0.146 0.878 0.084
InGRA          | 0.897 0.181 0.882 0.140 | 0.856 0.098 0.854 0.083 | 0.839 0.024 0.872 0.059
CM-rw          | 0.885 0.178 0.842 0.153 | 0.858 0.053 0.871 0.071 | 0.836 0.025 0.860 0.045
CM-markov      | 0.854 0.157 0.839 0.197 | 0.832 0.087 0.865 0.062 | 0.814 0.027 0.825 0.032
CausalMMM      | 0.925 0.140 0.910 0.187 | 0.892 0.033 0.903 0.015 | 0.875 0.109 0.905 0.024
"""

_TABLE_5 = """
Linear Granger | 0.514 0.000 0.581 0.000 | 0.624 0.196 0.661 0.020 | 0.735 0.152 0.892 0.180
NGC            | 0.573 0.051 0.568 0.074 | 0.596 0.235 0.639 0.265 | 0.744 0.149 0.752 0.185
GVAR           | 0.693 0.116 0.716 0.095 | 0.784 0.148 0.859 0.149 | 0.886 0.084 0.890 0.072
InGRA          | 0.774 0.158 0.763 0.142 | 0.856 0.098 0.854 0.083 | 0.899 0.075 0.907 0.061
CM-rw          | 0.800 0.110 0.815 0.105 | 0.858 0.053 0.871 0.071 | 0.914 0.008 0.932 0.015
CM-markov      | 0.763 0.103 0.787 0.085 | 0.832 0.087 0.865 0.062 | 0.868 0.023 0.879 0.019
CausalMMM      | 0.843 0.119 0.852 0.127 | 0.892 0.033 0.903 0.015 | 0.941 0.031 0.952 0.026
"""

_TABLE_6 = """
InGRA          | 0.876 0.098 0.874 0.083 | 0.848 0.180 0.865 0.119 | 0.815 0.137 0.820 0.158
CausalMMM      | 0.892 0.033 0.903 0.015 | 0.918 0.057 0.925 0.104 | 0.877 0.066 0.882 0.029
"""

# Mean squared errors at M = 1, 7 and 30; "-" is not reported. They grow like M, as sums over steps
# of standardised errors do.
_TABLE_7 = """
Linear Granger | 0.60 | 5.96 | 21.65
NGC            | 0.55 | -    | -
GVAR           | 0.37 | 1.91 | 12.41
InGRA          | 0.48 | -    | -
LSTM           | 0.58 | 3.31 | 15.78
Wide & Deep    | 0.25 | -    | -
BTVC           | 0.47 | 2.07 | 9.43
CM-full        | 0.37 | 2.65 | 14.63
CM-markov      | 0.32 | 2.85 | 12.92
CM-rw          | 0.38 | 3.09 | 12.74
CausalMMM      | 0.29 | 1.80 | 9.55
"""

PUBLISHED_NAME: Mapping[str, str] = MappingProxyType(
    {
        "causalmmm": "CausalMMM",
        "paper": "CausalMMM",
        "cm_full": "CM-full",
        "cm_rw": "CM-rw",
        "paper_rw": "CM-rw",
        "cm_markov": "CM-markov",
        "paper_markov": "CM-markov",
        "linear_granger": "Linear Granger",
        "linear_granger_bic": "Linear Granger",
        "ridge_var": "Linear Granger",
        "ngc_mlp": "NGC",
        "ngc_lstm": "NGC",
        "gvar": "GVAR",
        "ingra": "InGRA",
        "lstm": "LSTM",
        "wide_deep": "Wide & Deep",
        "btvc": "BTVC",
    }
)
"""What the paper calls each of our methods, where it has it."""


def _rows(table: str) -> dict[str, list[str]]:
    parts = [line.split("|") for line in table.strip().splitlines()]
    return {name.strip(): [cell.strip() for cell in cells] for name, *cells in parts}


def _graphs(table: str, columns: tuple[str, ...]) -> dict[str, dict[str, Published]]:
    rows = _rows(table)
    return {
        column: {name: Published(*map(float, cells[place].split())) for name, cells in rows.items()}
        for place, column in enumerate(columns)
    }


PUBLISHED_GRAPHS: Mapping[str, Mapping[str, Mapping[str, Published]]] = MappingProxyType(
    {
        "table3": _graphs(_TABLE_3, ("simulation 1", "simulation 2")),
        "table4": _graphs(_TABLE_4, ("d = 5", "d = 10", "d = 20")),
        "table5": _graphs(_TABLE_5, ("T = 30", "T = 120", "T = 720")),
        "table6": _graphs(_TABLE_6, ("R = 5", "R = 10", "R = 20")),
    }
)
"""By table, column of the table and the paper's name of the method."""

PUBLISHED_ERRORS: Mapping[str, Mapping[int, float]] = MappingProxyType(
    {
        name: {
            horizon: float(cell)
            for horizon, cell in zip((1, 7, 30), cells, strict=True)
            if cell != "-"
        }
        for name, cells in _rows(_TABLE_7).items()
    }
)
"""Table 7: errors by the paper's name of the method and horizon."""
