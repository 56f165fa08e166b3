"""The engine: the only writer of statuses. One transaction for each act, each act safe to repeat."""
