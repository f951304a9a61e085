"""Effects on adjustment sets: estimation, refutation, sensitivity, experiments."""
