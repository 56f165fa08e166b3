"""What becomes of runs when processes and connections die at the worst moments.

`crash_tasks` are the tasks and workflows, which write down in a ledger what they do; `ledger` reads it. `working` works
runs in this process. `faults` wraps a store so that something happens at its n-th point; `killable` has processes
killed there. `worker_processes` starts real workers. `soak` is a program, `fuzz` its random workflows:
``python -m tests.crash.soak --minutes 3 --database URL``.
"""
