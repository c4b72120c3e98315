"""The ML Test Score of a use case: which automatic check shows each test, and what its result says.

What each test asks and how points are summed is `stages/monitoring/rubric.py`; here is where the results are
found. Nothing is computed that a result should have said, and nothing is run.
"""
