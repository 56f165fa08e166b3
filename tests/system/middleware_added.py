"""What a worker imports with -A: the tasks, and their middleware."""

from segue import add_middleware
from tests.system.middleware_tasks import Telling

add_middleware(Telling())
