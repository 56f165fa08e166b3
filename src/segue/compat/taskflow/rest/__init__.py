"""Taskflow's REST interface: not here."""
