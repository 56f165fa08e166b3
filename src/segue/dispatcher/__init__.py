"""The dispatcher: takes steps to executors that are polled, such as batch systems, and follows them there.

protocol     what an executor must be able to do, and the three ways in which a submission can fail
registry     the executors of the imported code, by name
meaning      how an attempt ended, from what its platform says and what it left behind
dispatcher   the loop: plan, submit, search, look, collect, end, clean
"""
