"""The steps of preprocessing, from a file to the rows of its clips, each with a key of its own.

`recipe` lists them in order; `walk` takes one source through them. What a step found is kept under a hash of what it
was made from (`keys`), so a step runs again only where its own inputs changed: new sound leaves the crops alone, a new
sentence for captions leaves all but the captions alone. Thresholds are no inputs of a step: `gates` holds what was
measured against them, anew in every run.
"""
