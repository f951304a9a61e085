"""The graph itself: structure, files, separation, projection, equivalence."""
