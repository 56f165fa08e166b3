"""The verbs of `Segue` over HTTP: for programs that have an access token, but not the database.

`Remote`        a server, as `segue web` serves it
`RemoteError`   it refused a request for a reason that is no error of Segue's

It needs `pip install "segue[remote]"`.
"""

from segue.remote.errors import RemoteError
from segue.remote.remote import Remote
from segue.remote.run import RemoteRun, RemoteStep

__all__ = ["Remote", "RemoteError", "RemoteRun", "RemoteStep"]
