"""Scores delivered later: looked up by their id, streamed to whoever listens, pushed to a callback."""
