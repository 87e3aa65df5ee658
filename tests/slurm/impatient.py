"""Snakemake's command line, looking at the queue every 2 s instead of ever more rarely.

The Slurm plugin waits 10 s longer after each look in vain, up to 180 s: right for a cluster, and
minutes of idling in tests.
"""

import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

if __name__ == "__main__":
    RemoteExecutor.next_seconds_between_status_checks = property(
        lambda self: 2, lambda self, seconds: None
    )
    sys.exit(main())
