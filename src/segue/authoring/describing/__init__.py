"""Describes what the imported code defines: JSON Schemas of parameters and results, options, a hash of the code."""
