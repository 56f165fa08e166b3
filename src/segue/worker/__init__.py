"""The worker: claims ready steps, runs them in a pool, and reports their outcomes."""
