"""The leader and its work: the chores of a database."""
