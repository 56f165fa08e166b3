"""Claiming: a worker takes ready steps within their limits, and lanes share its slots fairly."""
