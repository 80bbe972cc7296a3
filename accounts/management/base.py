"""What commands have in common: help that ends in an example, refusals in one line, lists as a table or as JSON."""

import json
import os
import sys
from argparse import RawDescriptionHelpFormatter, _SubParsersAction
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import IO, Any, ClassVar, cast

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter
from django.db import Error, OperationalError, ProgrammingError

from accounts import origin
from accounts.errors import AccountError, InvalidInput
from accounts.models import User

Row = Mapping[str, Any]
ROWS_A_TABLE = 500  # then another one begins: its columns are as wide as what is held in memory
WIDE = 10_000  # a narrow terminal may wrap a line, but an address must never be cut


def way_to_confirm(user: User) -> str:
    """What an operator does so that the permissions of a user's role count.

    A stranger may have registered the address: confirming it at the machine would let the stranger's password in.
    """
    if user.has_unproven_password and user.has_usable_password():
        page = f"{settings.PUBLIC_URL}/forgot-password"
        return f"let its owner set a new password at {page}, as a stranger may have registered the address"
    return f"python manage.py users verify {user.email}"


class _Formatter(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """Keeps the lines of an example apart."""


class ExampleCommand(BaseCommand):
    """Its `--help` ends in an example; it ends with status 0, 1 (refused) or 2 (usage)."""

    example: ClassVar[str]
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, **options, **_with_example(self.example))

    def execute(self, *arguments: Any, **options: Any) -> str | None:
        """Makes a refusal one line on stderr; `--traceback` shows where it came from."""
        try:
            output = super().execute(*arguments, **options)
            self.stdout.flush()
        except AccountError as refusal:
            raise CommandError(reason(refusal)) from refusal
        except (OperationalError, ProgrammingError) as fault:
            raise CommandError(about_database(fault)) from fault
        except BrokenPipeError:  # whoever reads has seen enough, as in `users list | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return None
        return output

    def print_rows(self, rows: Iterable[Row], columns: Sequence[str], *, as_json: bool) -> None:
        """A table for a terminal, lines with tabs for a pipe, or a JSON array that has a line for each row."""
        if as_json:
            self._print_array(rows)
        elif self.stdout.isatty():
            self._print_table(rows, columns)
        else:
            for cells in chain([columns], ([_cell(row[name]) for name in columns] for row in rows)):
                self.stdout.write("\t".join(cells))

    def print_row(self, row: Row, *, as_json: bool) -> None:
        """One thing with all that is known about it."""
        if as_json:
            self.stdout.write(_json(row, indent=2))
            return
        width = max(map(len, row))
        for name, value in row.items():
            self.stdout.write(f"{name:<{width}}  {_cell(value)}")

    def _print_array(self, rows: Iterable[Row]) -> None:
        """Written while it is read: a million users need no memory here."""
        separator = "["
        for row in rows:
            self.stdout.write(f"{separator}\n{_json(row)}", ending="")
            separator = ","
        self.stdout.write("[]" if separator == "[" else "\n]")

    def _print_table(self, rows: Iterable[Row], columns: Sequence[str]) -> None:
        from rich.console import Console  # noqa: PLC0415 - takes longer than most commands
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415 - unlike a str it takes "[red]" for what it is

        console, remaining = Console(file=cast(IO[str], self.stdout), width=WIDE, highlight=False), iter(rows)
        is_first = True
        while (stretch := list(islice(remaining, ROWS_A_TABLE))) or is_first:
            table = Table(*(column.replace("_", " ") for column in columns), box=None, pad_edge=False)
            for row in stretch:
                table.add_row(*(Text(_cell(row[name])) for name in columns))
            console.print(table)
            is_first = False


class ActionsCommand(ExampleCommand):
    """A command of several actions, each a method with help and an example of its own."""

    _actions: "_SubParsersAction[CommandParser]"

    def add_arguments(self, parser: CommandParser) -> None:
        self._actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
        self.add_actions()

    def add_actions(self) -> None:
        raise NotImplementedError

    def add_action(self, run: Callable[..., None], name: str, description: str, example: str) -> CommandParser:
        """An action that calls `run` with its arguments as keywords; returns what to add the arguments to."""
        about = {"help": description, "description": description, **_with_example(example)}
        parser = self._actions.add_parser(name, **about)
        parser.set_defaults(run=run)
        return parser

    def handle(self, *_arguments: Any, run: Callable[..., None], **options: Any) -> None:
        run(**options)


def reason(refusal: AccountError) -> str:
    """Why something was refused, in one line."""
    if isinstance(refusal, InvalidInput):
        return " ".join(str(detail) for _field, _code, detail in refusal.faults)
    return str(refusal.detail)


def about_database(fault: Error) -> str:
    """What is wrong with the database, and what an operator can write to have another one, in one line."""
    words = str(fault).strip().splitlines()[0].rstrip(".")
    where = "sqlite:////path/file.sqlite3 or postgres://user:password@host:5432/name"
    return f"The database cannot be used: {words}. If it is elsewhere, write that in DATABASE_URL, such as {where}."


def _with_example(example: str) -> dict[str, Any]:
    return {"epilog": f"example:\n  python manage.py {example}", "formatter_class": _Formatter}


def _json(row: Row, indent: int | None = None) -> str:
    return json.dumps(row, ensure_ascii=False, indent=indent, default=_json_value)


def _json_value(value: Any) -> str:
    """As the API writes it: times in UTC with a Z, anything else in its own notation."""
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return "" if value is None else origin.printable(str(value))
