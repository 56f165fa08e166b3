"""The HTTP API and the web pages: one ASGI application over one database.

`create_app`    the application, to serve with `segue web` or to mount in one's own
`Identity`      who makes a request, and their role
`Role`          what they may do: viewer, operator or admin

It needs `pip install "segue[web]"`.
"""

from segue.web.app import create_app
from segue.web.roles import Identity, Role

__all__ = ["Identity", "Role", "create_app"]
