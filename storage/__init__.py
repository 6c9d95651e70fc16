"""What lasts: schemas, media files, shards, the catalog, dataset and model versions, provenance.

This room imports nothing else of the project, and it is the only one that opens pyarrow, lancedb, dvc, av and fsspec.
Modules are imported one by one (``from storage import media``), so that a command which needs only one of these
packages does not wait for the others.
"""

import os

# Before dvc and lancedb are imported anywhere: nobody asked them to report home.
for _name, _value in {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "LANCEDB_DISABLE_TELEMETRY": "1",
    "LANCE_LOG": "error",
}.items():
    os.environ.setdefault(_name, _value)
