"""What every part needs and none owns: files, checkpoints, jobs, progress, findings, keys."""
