"""Taskflow's REST interface: its paths and its JSON, over a database of Segue."""
