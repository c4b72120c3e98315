"""Metrics: what is measured, its text, and several processes as one."""
