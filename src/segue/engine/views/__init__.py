"""Queries: what exists, why it waits, which runs a filter selects. Nothing here changes anything."""
