"""Forecasts of a panel of shops, and how they are compared."""
