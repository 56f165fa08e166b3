"""A soak of an executor: workflows of every kind, while all that can die dies, for minutes, on one database.

Three workers run workflows whose bodies write lines into a file (tallies.py). Deliveries are unsteady in one of them.
Children, main processes and whole workers are killed, frozen beyond their lease and stopped; the broker is restarted
and flushed; the result backend is away for seconds; the database is restarted, its connections are ended and its file
is locked. In the end every run must have ended as it should. From the lines it is proven that nothing was lost, that
each success was recorded once, and that each result went where it belongs.
"""
