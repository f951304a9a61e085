"""What a graph lets a table answer: adjustment, front door, instruments, the ID algorithm."""
