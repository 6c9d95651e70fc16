"""What runs, when, and what happened: one Prefect flow per job, and the `dubwright` command.

Importing this package sets the environment that Prefect, Ray and the model libraries read when they are imported:
quiet and private by default, and patient with a slow machine. Values that the user has set stay.
"""

from flows.environment import set_defaults

set_defaults()
