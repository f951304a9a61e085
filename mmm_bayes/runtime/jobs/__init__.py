"""Many independent cells: one executor, one store of results, and fits of many tables."""
