"""Servers that the tests start for themselves, in private folders and on private ports, one module per kind.

`guard` keeps the promise that they all share: a server ends with the tests, even when these are killed. A new kind
of server is a module with a class whose `start()` and `stop()` use `guard.Guarded`, a fixture in `tests/conftest.py`,
and a line in `__main__`, which installs what is missing.
"""
