"""Queries: what there is, why it waits, which runs a filter chooses. Nothing here changes anything."""
