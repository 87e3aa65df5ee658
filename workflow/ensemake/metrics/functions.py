"""Functions of the user's, called in another process: one that hangs or crashes costs one cell."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ensemake.metrics.texts import Patience

CALL_S = 60.0  # for one member, with what it takes to import
LEAST_S = 2.0


class Caller:
    """Calls functions, and starts its process anew where one has ended it.

    Parameters
    ----------
    base
        The working directory: files of functions are relative to it.
    patience
        How long each function may still take.
    """

    def __init__(self, base: Path, patience: Patience) -> None:
        self._base, self._patience = base, patience
        self._process: subprocess.Popen[bytes] | None = None
        self._answers = -1

    def call(self, function: str, directory: Path, values: Mapping[str, Any]) -> Any:
        """Return what a function makes of a member; raise ValueError if it fails or takes long."""
        process = self._process or self._start()
        asked = {"function": function, "directory": str(directory.absolute()), "values": values}
        seconds = self._patience.seconds(function, CALL_S)
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(asked).encode() + b"\n")
            process.stdin.flush()
            answer = json.loads(self._line(seconds))
        except TimeoutError:
            self.close()
            self._patience.spent(function, seconds, LEAST_S)
            raise ValueError(f"ran for {seconds:g} s, which is too long") from None
        except (OSError, ValueError):
            raise ValueError(f"its process {self._end()}") from None
        if "fault" in answer:
            raise ValueError(answer["fault"])
        return answer["value"]

    def close(self) -> None:
        """End the process, and what a function has started in it."""
        if self._process is None:
            return
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            with suppress(OSError):
                self._process.stdin.close()
        os.close(self._answers)
        self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        self._answers, theirs = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ensemake.metrics.worker", str(theirs), str(os.getpid())],
                cwd=self._base,
                stdin=subprocess.PIPE,
                stdout=2,  # where faults go
                pass_fds=[theirs],
                process_group=0,
            )
        finally:
            os.close(theirs)
        return self._process

    def _line(self, seconds: float) -> bytes:
        """Return the next answer; raise TimeoutError if it is late, OSError if there is none."""
        until, line = time.monotonic() + seconds, b""
        while not line.endswith(b"\n"):
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._answers], [], [], left)[0]:
                raise TimeoutError
            part = os.read(self._answers, 1 << 16)
            if not part:
                raise OSError("it has ended")
            line += part
        return line

    def _end(self) -> str:
        """Say how the process ended."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.returncode
        self.close()
        if code is not None and code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"
