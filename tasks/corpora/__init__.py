"""Public corpora as they lie on disk: one module for each, which reads labels and speakers from its naming scheme.

`registry` recognises a corpus by its tree; `reading` joins pictures and sounds of a take, and accounts for every file.
"""
