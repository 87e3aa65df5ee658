"""The page while members run: written again and again, until the run ends."""

import logging
import threading
import time
from contextlib import suppress

from ensemake.config.schema import Config
from ensemake.show.page import page_path, write_page

EVERY_S = 10.0  # at most so often,
SHARE = 0.01  # and for no larger share of the time


class LivePage:
    """Writes the page of a run in a thread of its own."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._is_over = threading.Event()
        self._written: tuple[int, int] | None = None  # what it wrote last
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def start(self) -> None:
        """Begin; the first page is written after ten seconds, if there still is a run."""
        self._thread.start()

    def stop(self) -> None:
        """Write no more."""
        self._is_over.set()
        self._thread.join()

    def finish(self) -> None:
        """Have the page say that the run is over, if nobody has written it since."""
        with suppress(OSError):
            if self._written == self._identity():
                write_page(self._config)

    def _renew(self) -> None:
        every_s = EVERY_S
        while not self._is_over.wait(every_s):
            began = time.monotonic()
            try:
                write_page(self._config, every_s=every_s)
                self._written = self._identity()
            except Exception as error:  # the run is worth more than its page
                logging.getLogger(__name__).debug("the page was not written: %s", error)
            every_s = max(EVERY_S, (time.monotonic() - began) / SHARE)

    def _identity(self) -> tuple[int, int]:
        found = page_path(self._config).stat()
        return found.st_ino, found.st_mtime_ns
