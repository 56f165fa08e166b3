"""A storm: hostile tasks, every verb, odd settings and blows of all kinds at once, for minutes, on one database.

``python -m tests.crash.storm --minutes 20`` on SQLite, ``... --postgres`` on a server of its own. Three workers with
different pools run workflows whose tasks return, raise and report what no database or worker should have to see. A
controller pauses, resumes, cancels, retries, skips, marks, edits, forks and sends, each as often as the others.
Processes are killed and frozen, connections are ended, statements cancelled, runs locked by hand. In the end every run
must have ended as it should, or in any way that the verbs said of it allow; nothing in the database may contradict the
promises; no worker may have ended by itself.
"""
