"""From draws to answers: contributions, returns, response curves, predictions, checks.

Functions take a :class:`mmm_bayes.model.fitted.Fitted` first and return labelled arrays in the
units of the table. Draws stay along the dimensions ``chain`` and ``draw``.
"""
