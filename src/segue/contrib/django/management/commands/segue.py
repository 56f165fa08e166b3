"""`manage.py segue ...`: every command of `segue`, with the project's database and tasks."""

from __future__ import annotations

import os
import sys
from argparse import REMAINDER
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from segue.cli import main
from segue.cli.options import Setup
from segue.contrib.django.addresses import url_of
from segue.contrib.django.settings import project_settings
from segue.errors import SegueError

CODE = "segue.contrib.django.discovered"


class Command(BaseCommand):
    """Passes its words on to the command line of Segue, options and all."""

    help = "Runs a command of Segue, such as worker, dev, runs or explain: manage.py segue --help"
    requires_system_checks: tuple[str, ...] = ()

    def run_from_argv(self, argv: list[str]) -> None:
        """The words as they were typed; Django itself reads only --settings and --pythonpath."""
        program = f"{'python ' if argv[0].endswith('.py') else ''}{os.path.basename(argv[0])} {argv[1]}"  # noqa: PTH119
        _run(without_options_of_django(argv[2:]), program)

    def add_arguments(self, parser: CommandParser) -> None:
        """For `call_command("segue", "runs", "--json")`."""
        parser.add_argument("words", nargs=REMAINDER)

    def handle(self, *args: Any, **options: Any) -> None:
        """For `call_command`, which returns if all went well."""
        try:
            _run([*options["words"], *args], "manage.py segue")
        except SystemExit as leaving:
            if leaving.code:
                raise


def without_options_of_django(words: list[str]) -> list[str]:
    """The words without --settings and --pythonpath, on which Django has acted already."""
    kept = []
    left = iter(words)
    for word in left:
        if word in ("--settings", "--pythonpath"):
            next(left, None)
        elif not word.startswith(("--settings=", "--pythonpath=")):
            kept.append(word)
    return kept


def _run(words: list[str], program: str) -> None:
    try:
        project = project_settings()
        setup = Setup(database=url_of(project.database), namespace=project.namespace, apps=(CODE,), program=program)
    except SegueError as error:
        sys.stderr.write(f"segue: {error}\n")
        sys.exit(2)
    for name, value in (("SEGUE_PAYLOADS", project.payloads), ("SEGUE_PAYLOAD_THRESHOLD", project.payload_threshold)):
        if value is not None:
            os.environ[name] = str(value)  # for this process and the children of its pool
    main(words, setup)
