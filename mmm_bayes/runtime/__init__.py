"""Files, checkpoints, jobs, progress, findings and random keys, used by all other packages."""
