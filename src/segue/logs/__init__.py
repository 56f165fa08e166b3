"""The log of a process that runs steps: its lines as text or JSON, with the attempt that each belongs to.

setting.py      sets the log up, as `--log-level`, `--log-format` and `--log-config` say
formats.py      a record as a line of text or JSON, in UTC and without secrets
fields.py       the run, step, attempt and task of a record
attempts.py     a line for the end of each attempt
printed.py      what a task prints, as lines
forwarding.py   takes what a task logs in a child process to the log of its worker
"""
