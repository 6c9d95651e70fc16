"""Exams: how right every preprocessing step is, against the studio's exact truth on people nobody was trained on.

One module for each subject; `registry` names them all. `dubwright studio exam` runs them.
"""
