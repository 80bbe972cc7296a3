"""The base of all commands: help that ends with an example, errors in one line, output as a table or as JSON."""

import json
import os
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import IO, Any, ClassVar, cast

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter
from django.db import Error, OperationalError, ProgrammingError

from accounts import request_context
from accounts.errors import AccountError, InvalidInput
from accounts.models import User

Row = Mapping[str, Any]
ROWS_PER_TABLE = 500  # held in memory, because the longest cell decides the width of a column
TABLE_WIDTH = 10_000  # a narrow terminal may wrap a line, but an address must never be cut


def how_to_confirm_address(user: User) -> str:
    """Returns what an operator does to make the permissions of a user's role take effect.

    If someone else registered the address, confirming it with a command would make their password valid.
    """
    if user.has_unproven_password and user.has_usable_password():
        page = f"{settings.PUBLIC_URL}/forgot-password"
        return f"ask its owner to set a new password at {page}, because someone else may have registered the address"
    return f"python manage.py users verify {user.email}"


class _Formatter(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """Keeps the line breaks of the example."""


class ExampleCommand(BaseCommand):
    """A command whose `--help` ends with an example. Its exit status is 0, 1 (error) or 2 (wrong usage)."""

    example: ClassVar[str]
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, **options, **_with_example(self.example))

    def execute(self, *arguments: Any, **options: Any) -> str | None:
        """Prints an error as one line on stderr; `--traceback` shows where it was raised."""
        try:
            output = super().execute(*arguments, **options)
            self.stdout.flush()
        except AccountError as error:
            raise CommandError(error_message(error)) from error
        except (OperationalError, ProgrammingError) as error:
            raise CommandError(describe_database_error(error)) from error
        except BrokenPipeError:  # the reader has closed the pipe, as in `users list | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return None
        return output

    def print_rows(self, rows: Iterable[Row], columns: Sequence[str], *, as_json: bool) -> None:
        """Prints a table to a terminal, tab-separated lines to a pipe, or a JSON array with a line for each row."""
        if as_json:
            self._print_array(rows)
        elif self.stdout.isatty():
            self._print_table(rows, columns)
        else:
            for cells in chain([columns], ([_cell(row[name]) for name in columns] for row in rows)):
                self.stdout.write("\t".join(cells))

    def print_row(self, row: Row, *, as_json: bool) -> None:
        """Prints all fields of one row, each on its own line or as JSON."""
        if as_json:
            self.stdout.write(_json(row, indent=2))
            return
        width = max(map(len, row))
        for name, value in row.items():
            self.stdout.write(f"{name:<{width}}  {_cell(value)}")

    def _print_array(self, rows: Iterable[Row]) -> None:
        """Writes each row as soon as it is read, so the memory does not grow with the number of rows."""
        separator = "["
        for row in rows:
            self.stdout.write(f"{separator}\n{_json(row)}", ending="")
            separator = ","
        self.stdout.write("[]" if separator == "[" else "\n]")

    def _print_table(self, rows: Iterable[Row], columns: Sequence[str]) -> None:
        from rich.console import Console  # noqa: PLC0415 - takes longer to load than most commands to run
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415 - prints "[red]" as it is, unlike a str

        console, remaining = Console(file=cast(IO[str], self.stdout), width=TABLE_WIDTH, highlight=False), iter(rows)
        is_first = True
        while (page := list(islice(remaining, ROWS_PER_TABLE))) or is_first:
            table = Table(*(column.replace("_", " ") for column in columns), box=None, pad_edge=False)
            for row in page:
                table.add_row(*(Text(_cell(row[name])) for name in columns))
            console.print(table)
            is_first = False


class ActionsCommand(ExampleCommand):
    """A command with several actions. Each is a method with its own help and example."""

    def add_arguments(self, parser: CommandParser) -> None:
        self._actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
        self.add_actions()

    def add_actions(self) -> None:
        raise NotImplementedError

    def add_action(self, run: Callable[..., None], name: str, description: str, example: str) -> CommandParser:
        """Adds an action that calls `run` with its arguments as keywords. Returns its parser."""
        about = {"help": description, "description": description, **_with_example(example)}
        parser = self._actions.add_parser(name, **about)
        parser.set_defaults(run=run)
        return parser

    def handle(self, *_arguments: Any, run: Callable[..., None], **options: Any) -> None:
        run(**options)


def error_message(error: AccountError) -> str:
    """Returns the messages of the error in one line."""
    if isinstance(error, InvalidInput):
        return " ".join(str(detail) for _field, _code, detail in error.errors)
    return str(error.detail)


def describe_database_error(error: Error) -> str:
    """Returns the error, and how an operator configures another database, in one line."""
    message = str(error).strip().splitlines()[0].rstrip(".")
    examples = "sqlite:////path/file.sqlite3 or postgres://user:password@host:5432/name"
    return f"The database cannot be used: {message}. Set DATABASE_URL to use another one, such as {examples}."


def _with_example(example: str) -> dict[str, Any]:
    return {"epilog": f"example:\n  python manage.py {example}", "formatter_class": _Formatter}


def _json(row: Row, indent: int | None = None) -> str:
    return json.dumps(row, ensure_ascii=False, indent=indent, default=_json_value)


def _json_value(value: Any) -> str:
    """Writes times as the API does, in UTC with a Z, and everything else as its str()."""
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return "" if value is None else request_context.printable(str(value))
