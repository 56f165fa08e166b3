"""What becomes of runs when processes and connections die at the worst moments.

`deeds` are the tasks and workflows, which write down in a ledger what they do; `ledger` reads it. `faults` wraps a
store so that something happens at its n-th point; `mortal` has processes killed there. `crew` drives real workers.
`soak` is a program, `wild` its workflows: ``python -m tests.crash.soak --minutes 3 --database URL``.
"""
