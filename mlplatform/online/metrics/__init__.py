"""What the services tell Prometheus of themselves at `/metrics`: see `families.py` for all of it.

The path of a request adds to integers (`tallies.py`, `requests.py`); everything else is looked up when it is
asked for. It must not answer requests other than that one.
"""
