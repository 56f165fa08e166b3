"""Events of runs and steps, their kinds, and the observers of this process.

A low layer, so that the engine can report events and any process can register observers.
"""
