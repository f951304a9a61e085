"""Forecasts of a panel of shops, compared from rolling origins."""
