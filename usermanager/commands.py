"""What the commands of the project have in common: help that ends in an example, and the exit statuses."""

from argparse import RawDescriptionHelpFormatter
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandParser, DjangoHelpFormatter


class _Formatter(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """Keeps the lines of the example apart."""


class ExampleCommand(BaseCommand):
    """Its `--help` shows the example. It ends with status 0, 1 (refused) or 2 (usage)."""

    example: ClassVar[str] = ""

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:
        options |= {"epilog": f"example:\n  {self.example}", "formatter_class": _Formatter}
        return super().create_parser(prog_name, subcommand, **options)
