"""What every loop of Segue needs: when its next turn is due, what ends a wait, and when to listen again.

`pace`        when a claimant takes a turn, renews its lease and checks the timers
`wakeups`     notifications from other processes, through the database
`companions`  what runs beside the chores, for executors whose workers must be followed
`self_pipe`   a wait that a signal handler or another thread can end
`vitals`      how the process is, for `probes` and for `systemd`; `measuring` serves its metrics
"""
