"""Causal graphs over observed variables, with hidden common causes."""
