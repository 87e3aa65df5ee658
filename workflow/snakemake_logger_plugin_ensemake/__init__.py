"""Progress in a line per ensemble instead of ten lines per job; the log file has all of it.

On a terminal the lines stay at the bottom and are drawn anew; elsewhere a line is added when an
ensemble is a tenth further, or a minute later. Dry runs, ``--verbose``, ``--printshellcmds`` and
``--quiet`` show what they show without this plugin.
"""

import logging
import os
import re
import sys
import threading
import time
from logging.handlers import QueueHandler
from pathlib import Path
from typing import Any, TextIO

from snakemake.logging import logger
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from ensemake.config.faults import printable
from ensemake.show.progress import Board, Job, failure_line, panel_lines, plain_line

__all__ = ["LogHandler"]

# What is said about every run or every job, and what is told better here: for the log file.
NOISE = re.compile(
    "Assuming unrestricted shared filesystem usage|Building DAG of jobs|"
    "DAG of jobs will be updated|Elapsed time|"
    "Exiting because a job execution failed|Group jobs: inactive|host: |"
    r"Job \d+ (has been submitted|is (PBS|Slurm) job)|Job rate limit reached|"
    "Removing output files of failed job|RuleException:\nCalledProcessError|SLURM run ID|"
    "Select jobs to execute|Shutting down|Storing output in storage|Touching output file|"
    "Trying to restart job|Updating checkpoint dependencies|Using shell"
)
LOOKED_AT = {
    *(LogEvent.ERROR, LogEvent.RESOURCES_INFO),
    *(LogEvent.JOB_INFO, LogEvent.JOB_FINISHED, LogEvent.JOB_ERROR),
}
FAILURES = 5  # told as they happen; the summary at the end tells more
FRAME_S = 0.1  # between two drawings of the panel
QUIET_S = 60.0  # without a line, off a terminal


class LogHandler(LogHandlerBase):
    """Shows progress from Snakemake's log records."""

    def __post_init__(self) -> None:
        settings = self.common_settings
        self.stream: TextIO = sys.stdout if settings.stdout else sys.stderr
        self.is_live = self.stream.isatty() and os.environ.get("TERM") != "dumb"
        self.is_plain = bool(
            settings.dryrun
            or settings.verbose
            or settings.printshellcmds
            or settings.debug_dag
            or settings.quiet
        )
        self.board = Board()
        self.failures = 0
        self._height = 0  # lines of the panel on the screen
        self._drawn = 0.0
        self._shown: dict[str, tuple[int, float]] = {}
        self._ended = threading.Event()
        self._timer: threading.Thread | None = None
        self._has_queue = True

    writes_to_stream = True
    writes_to_file = False
    has_filter = False
    has_formatter = False
    needs_rulegraph = False

    def emit(self, record: logging.LogRecord) -> None:
        """Take in one record."""
        try:
            self._take(record)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Leave the panel as it is."""
        self._end()
        super().close()

    def _leave_queue(self) -> None:
        """Take records in where they are made, from now on, and only those that are looked at.

        To wake the thread at the queue's other end costs as much as a tenth of a job, seven times.
        """
        for queue in logger.handlers:
            if isinstance(queue, QueueHandler):
                queue.addFilter(self._taken_at_once)
                self._has_queue = False

    def _taken_at_once(self, record: logging.LogRecord) -> bool:
        event = getattr(record, "event", None)
        if event in LOOKED_AT if event else not NOISE.match(str(record.msg)):
            self.handle(record)
        return False

    # ---- what happens ----

    def _take(self, record: Any) -> None:
        event = getattr(record, "event", None)
        if self._has_queue and not self.is_plain:
            self._leave_queue()
        if self.is_plain:
            self._say(self.format(record))
        elif event is None or event == LogEvent.ERROR:
            self._message(record)
        elif event == LogEvent.RESOURCES_INFO:
            self.board.remote |= hasattr(record, "nodes")
        elif event == LogEvent.JOB_INFO:
            self.board.start(record.jobid, record.rule_name, record.output)
            self._watch()
        elif event == LogEvent.JOB_FINISHED:
            self.board.finish(record.job_id)
            self._show()
        elif event == LogEvent.JOB_ERROR:
            self._failure(record, self.board.fail(record.jobid))

    def _message(self, record: Any) -> None:
        text = record.getMessage()
        if getattr(record, "is_summary", False):
            self._end()
        if not NOISE.match(text):
            self._say(text)

    def _failure(self, record: Any, job: Job | None) -> None:
        logs = list(record.log)
        if job is None:
            where = ", ".join(logs) or "no log"
            self._say(f"Error in rule {record.rule_name}: {record.rule_msg or ''} ({where})")
            self._say("\n".join(map(_content, logs)))
            return
        self.failures += 1
        if self.failures <= FAILURES:
            self._say(failure_line(job, logs, record.rule_msg or ""))
        elif self.failures == FAILURES + 1:
            self._say("more failed; they are listed at the end")

    # ---- what is seen ----

    def _say(self, text: str) -> None:
        if text and text != "None":
            self._erase()
            self.stream.write(f"{text}\n")
            self._show(force=True)

    def _watch(self) -> None:
        """Show the board from now on, also while nothing is logged."""
        if self._timer is None:
            self._timer = threading.Thread(target=self._tick, daemon=True)
            self._timer.start()
        self._show()

    def _tick(self) -> None:
        while not self._ended.wait(1.0):
            with self.lock:  # type: ignore[union-attr]
                self.board.refresh()
                self._show()

    def _show(self, force: bool = False) -> None:
        if self._timer is None or self._ended.is_set():
            self.stream.flush()
        elif self.is_live:
            self._draw(force)
        else:
            self._add_lines()

    def _draw(self, force: bool) -> None:
        now = time.monotonic()
        if not force and now < self._drawn + FRAME_S:
            return
        self._drawn = now
        lines = panel_lines(self.board, _width(self.stream) - 1, now)
        self._erase()
        self.stream.write("".join(f"{line}\n" for line in lines))
        self.stream.flush()
        self._height = len(lines)

    def _erase(self) -> None:
        if self._height:
            self.stream.write(f"\x1b[{self._height}F\x1b[J")  # up to the first line, clear below
            self._height = 0

    def _add_lines(self) -> None:
        now = time.monotonic()
        for tally in self.board.tallies.values():
            tenth = 10 * tally.over.total() // max(1, tally.total)
            told, when = self._shown.get(tally.entity, (-1, now))
            if tally.total and (tenth != told or now > when + QUIET_S):
                self._shown[tally.entity] = tenth, now
                self.stream.write(plain_line(tally, self.board.remote, now) + "\n")
        self.stream.flush()

    def _end(self) -> None:
        """Show the last state and leave it on the screen."""
        if self._timer is not None and not self._ended.is_set():
            self.board.refresh()
            self._show(force=True)
            self._ended.set()
            self._height = 0


def _content(log: str) -> str:
    try:
        lines = Path(log).read_text(errors="replace").strip().split("\n")
        return "\n".join(map(printable, lines))
    except OSError:
        return f"no log {log}"


def _width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
