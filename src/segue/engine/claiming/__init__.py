"""Claiming: ready steps become a worker's, within their limits, and lanes share its places fairly."""
