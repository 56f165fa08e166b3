"""A copy of examples/django_shop, driven by its own `manage.py` in processes of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

EXAMPLE = Path(__file__).parents[3] / "examples" / "django_shop"
SECONDS = 120.0


class Site:
    """The project in a folder, on one database."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        self.folder = folder / "site"
        shutil.copytree(EXAMPLE, self.folder, ignore=shutil.ignore_patterns("__pycache__", "*.sqlite3"))
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("SEGUE_", "SHOP_"))}
        if url.startswith("sqlite:"):
            self.env["SHOP_FILE"] = url.removeprefix("sqlite:///")
        else:
            parts = urlsplit(url)
            self.env |= {
                "SHOP_DATABASE_NAME": parts.path[1:], "SHOP_DATABASE_USER": parts.username or "",
                "SHOP_DATABASE_PASSWORD": unquote(parts.password or ""), "SHOP_DATABASE_HOST": parts.hostname or "",
                "SHOP_DATABASE_PORT": str(parts.port or ""),
            }  # fmt: skip

    def add(self, path: str, text: str) -> None:
        """Append to a file of the project."""
        with (self.folder / path).open("a") as file:
            file.write(text)

    def manage(self, *words: str, code: int = 0) -> str:
        """Run a command; returns what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *words], cwd=self.folder, env=self.env, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        return said

    def python(self, text: str) -> str:
        """Run statements in the project; returns what they printed."""
        set_up = "import django; django.setup(); from segue.contrib.django import segue"
        return self.run([sys.executable, "-c", f"{set_up}\n{text}"])

    def run(self, command: list[str]) -> str:
        env = {**self.env, "DJANGO_SETTINGS_MODULE": "shop.settings"}
        done = subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def worker(self, *options: str) -> Iterator[subprocess.Popen[str]]:
        """A worker that is ready."""
        log = self.folder / f"worker{len(list(self.folder.glob('*.log')))}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "segue", "worker", *options], cwd=self.folder, env=self.env,
                stderr=file, stdout=file, text=True,
            )  # fmt: skip
        try:
            wait_until(lambda: "ready" in log.read_text() or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for a condition."""
    until = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)
