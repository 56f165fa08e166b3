"""Benchmarks that need more than Segue itself: the same work on other systems. See README.md."""
