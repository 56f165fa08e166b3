"""Whether tests try everything (`make proof`, `make soak`) or a sample of it (`make test`)."""

from __future__ import annotations

import os

IS_THOROUGH = bool(os.environ.get("SEGUE_TEST_THOROUGH"))
