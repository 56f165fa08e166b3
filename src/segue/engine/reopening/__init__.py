"""What people do to runs whose steps have ended: retry, fork, skip, mark, edit. All rewrite the run in one act."""
