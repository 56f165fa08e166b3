"""The worker: claims ready steps, runs them in a pool, reports what came of them."""
