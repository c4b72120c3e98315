"""How the whole deployment is: one part for each thing that runs or waits, gathered without starting any.

`gathered.py` asks them all; each other file knows one side. They must not repair anything.
"""

from mlplatform.offline.health.gathered import gather
from mlplatform.offline.health.part import Health, Part

__all__ = ["Health", "Part", "gather"]
