"""Segue beside Celery, huey, DBOS and procrastinate on the same work, in the same session.

Run it with `python -m benchmarks.peers`.
"""
