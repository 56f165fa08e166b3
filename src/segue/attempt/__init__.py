"""One attempt, wherever it runs: in a pool of a worker, or in a process of another library.

`runner`          from a job to its outcome
`transactional`   the same for a task that shares its transaction with its outcome
`outcomes`        what is reported: a value, an exception, or an attempt that died before it could report
`around`          the hooks of middlewares around an attempt
`beside`          runs a coroutine to its end in a thread that waits for it
"""
