"""A store of several servers, each with a keeper on its node, seen as one."""

from collections.abc import Sequence
from selectors import EVENT_READ, DefaultSelector

from ensemake.config.database import Database
from ensemake.store.link import Link
from ensemake.store.saved import prepare
from ensemake.store.seats import Seat, seats
from ensemake.store.store import Folders, Home, Store, of_keys
from ensemake.store.voucher import Voucher

TRIES = 5  # for ports that somebody takes before the servers do


class Cluster:
    """Servers of a cluster, started at once; otherwise as `Store`.

    Parameters
    ----------
    name, settings, folders, is_loaded, has_others
        As of `Store`.
    places
        Where each server runs.
    """

    def __init__(
        self,
        name: str,
        settings: Database,
        folders: Folders,
        is_loaded: bool,
        has_others: bool,
        places: Sequence[Home],
    ) -> None:
        self.name, self.lacks, self._has_others = name, "", has_others
        self._settings, self._folders, self._places = settings, folders, places
        if settings.save:
            prepare(folders.data, len(places), is_loaded)
        self._tries, self._selector = TRIES, DefaultSelector()
        self.servers: list[Store] = []
        self._vouchers: list[Voucher] = []
        self._begin()

    def _begin(self) -> None:
        self._tries, self._is_seated, self.servers = self._tries - 1, False, []
        try:
            for seat in seats(len(self._places), self._settings.port):
                self.servers.append(self._server(seat))
                self._selector.register(self.servers[-1], EVENT_READ, self.servers[-1])
        except (OSError, ValueError):
            self._end()
            raise

    def _server(self, seat: Seat) -> Store:
        own = self.name, self._settings, self._folders
        return Store(*own, False, self._has_others, seat, self._places[seat.number])

    def _end(self) -> None:
        for server in self.servers:
            if server.fileno() in self._selector.get_map():
                self._selector.unregister(server)
            server.stop(False)

    @property
    def is_ready(self) -> bool:
        """Whether all of it answers."""
        return all(server.is_ready for server in self.servers)

    @property
    def is_running(self) -> bool:
        """As of `Store`."""
        return all(server.is_running for server in self.servers)

    @property
    def pids(self) -> set[int]:
        """Of our children that are its."""
        return {pid for server in self.servers for pid in server.pids}

    def fileno(self) -> int:
        """Return what is readable when there is something to hear."""
        return self._selector.fileno()

    def hear(self) -> str:
        """Take what its keepers say; return why the store is no more, "" if it is."""
        for key, _ in self._selector.select(0):
            fault = key.data.hear()
            if fault:
                return self._heed(key.data, fault)
        if not self._is_seated and all(server.address for server in self.servers):
            self._is_seated = True
            for server in self.servers:
                server.seat([server.address for server in self.servers])
        return self._vouch() if self.is_ready and not self._vouchers else ""

    def _vouch(self) -> str:
        """Vouch for programs on our node at the servers of others; return why not."""
        pairs = zip(self.servers, self._places, strict=True)
        try:
            self._vouchers = [Voucher(one.links[0]) for one, place in pairs if place.command]
        except OSError as error:
            return str(error)
        return ""

    def _heed(self, server: Store, fault: str) -> str:
        if "in use" in fault and self._tries and not self.is_ready and not self._settings.port:
            self._end()
            self._begin()
            return ""
        number = self.servers.index(server)
        self._selector.unregister(server)
        return f"server {number}{self._where(number)}: {fault}"

    def _where(self, number: int) -> str:
        node = self._places[number].node
        return f" on {node}" if node else ""

    def wait(self) -> None:
        """Wait until it answers; raise as `Store.wait`."""
        while not self.is_ready:
            self._selector.select()
            fault = self.hear()
            if fault:
                self.stop(False)
                raise OSError(f"{self.name}: {fault}")

    @property
    def links(self) -> list[Link]:
        """As of `Store`, of each server."""
        return [link for server in self.servers for link in server.links]

    def environ(self, prefix: str = "", reads: Sequence[str] = ()) -> dict[str, str]:
        """Return the variables by which programs find it on each node; see `Store.environ`."""
        return {
            "SSDB": ",".join(f"{one.address}:{one.port}" for one in self.servers),
            "SR_DB_TYPE": "Clustered",
            "ENSEMAKE_STORE": self.servers[0].url,
            **of_keys(prefix, reads),
        }

    def stop(self, save: bool) -> str:
        """End it; return why its data are not saved, "" if they are or need not be."""
        for voucher in self._vouchers:
            voucher.close()
        for server in self.servers:
            if save:
                server.save()
        faults = [server.end(save) for server in self.servers]
        told = (f"server {number}: {fault}" for number, fault in enumerate(faults) if fault)
        return "; ".join(told)
