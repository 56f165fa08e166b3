"""The leader and what it does: the chores of a database."""
