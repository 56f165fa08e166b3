"""Executors: steps that run on what a team has already, instead of on Segue's workers. One folder for each library."""
