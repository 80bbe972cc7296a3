"""A progress bar with a rate, on stderr if that is a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int, int], None]


@contextmanager
def progress(label: str, total: int) -> Iterator[Advance]:
    """Yields a function to call with the number of users done, and with the part of the total that is done."""
    if not sys.stderr.isatty():
        yield lambda users, done: None
        return
    from rich.console import Console  # noqa: PLC0415 - takes longer to load than most commands to run
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn  # noqa: PLC0415

    rate = TextColumn("{task.fields[users]:,} users, {task.fields[rate]:,.0f}/s")
    columns = (TextColumn(label), BarColumn(), rate, TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total, users=0, rate=0.0)

        def advance(users: int, done: int) -> None:
            bar.update(task, completed=done, users=users, rate=users / max(bar.tasks[task].elapsed or 0, 0.1))

        yield advance
