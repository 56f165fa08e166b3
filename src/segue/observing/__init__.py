"""What happens to runs and steps, under names, and who in this process is told of it.

Low in the house, so that the engine can say what happened and whoever works can register for it.
"""
