"""Kinds of tasks that Taskflow brings along."""
