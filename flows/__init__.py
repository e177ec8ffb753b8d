"""Prefect flows: thin shells over :mod:`medpipe.app`.

Nothing is sent anywhere: the settings below are set before Prefect is imported, and a site
that wants others sets them in the environment.
"""

import os

for _name, _value in {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
}.items():
    os.environ.setdefault(_name, _value)
