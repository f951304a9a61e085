"""Run the command line: ``python -m mmm_bayes.cli``."""

from mmm_bayes.cli import main

main()
