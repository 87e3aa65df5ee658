"""Start Slurm's accounting for a cluster of the tests: a database in its folder, and slurmdbd."""

import getpass
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from slurm_cluster import Cluster, free_ports, until

PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db", "mariadb")

# Of a running cluster; its controller has to be started anew to heed them.
SLURM_CONF = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge.socket
"""
SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={ports[0]}
SlurmUser={user}
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={ports[1]}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
"""
GRANT = "CREATE DATABASE slurm; CREATE USER slurm@localhost IDENTIFIED BY 'slurm'; " + (
    "GRANT ALL ON slurm.* TO slurm@localhost;"
)


def missing() -> list[str]:
    """Return the programs that are not here."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


class Accounting:
    """The accounting of a cluster, while it lasts."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._folder = cluster, cluster.folder
        self._ports = free_ports(2)
        self._daemons: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            self._start_database()
            self._start("slurmdbd", "-D", "-s")
            until(lambda: _answers(self._ports[0]), "slurmdbd")
            extra = SLURM_CONF.format(port=self._ports[0], folder=self._folder)
            self._cluster.configure(extra)
            self._cluster.run("sacctmgr", "-i", "add", "cluster", "ensemake-tests")
            self._restart_controller(extra)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restart_controller()
        self._stop()

    def state(self, job: str) -> str:
        """Return what sacct says of a job."""
        return self._run("sacct", "-nPX", "-o", "State", "-j", job)

    def _start_database(self) -> None:
        user, data = getpass.getuser(), self._folder / "mysql"
        own = ["--no-defaults", f"--user={user}", f"--datadir={data}"]
        install = ["mariadb-install-db", *own, "--auth-root-authentication-method=normal"]
        subprocess.run(install, check=True, capture_output=True)
        at = [f"--socket={self._folder}/mysql.sock", f"--pid-file={self._folder}/mysql.pid"]
        place = [f"--port={self._ports[1]}", "--bind-address=127.0.0.1"]
        self._start("mariadbd", *own, *at, *place)
        until((self._folder / "mysql.sock").exists, "the database")
        client = ["mariadb", "--no-defaults", "--user=root", at[0], "--execute", GRANT]
        subprocess.run(client, check=True, capture_output=True)
        conf = self._folder / "slurmdbd.conf"  # beside slurm.conf, where it is looked for
        conf.write_text(SLURMDBD_CONF.format(ports=self._ports, folder=self._folder, user=user))
        conf.chmod(0o600)

    def _start(self, *command: str) -> None:
        with open(self._folder / f"{command[0]}.log", "ab") as log:
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env=self._cluster.environ,
                start_new_session=True,
            )
        self._daemons.append(process)

    def _restart_controller(self, extra: str = "") -> None:
        self._cluster.stop("slurmctld")
        self._cluster.configure(extra)
        self._cluster.start("slurmctld")
        until(lambda: "UP" in self._run("scontrol", "ping"), "the controller")
        self._cluster.settle()

    def _run(self, *command: str) -> str:
        return self._cluster.run(*command, check=False)

    def _stop(self) -> None:
        for daemon in reversed(self._daemons):
            daemon.terminate()
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(20)
            daemon.kill()
            daemon.wait()


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    time.sleep(0.1)
    return False
