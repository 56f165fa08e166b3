"""Limits: how large they are, which steps and runs hold places, and which runs may begin."""
