"""The config's section on stores in memory, which members share while they run."""

from typing import Annotated

from pydantic import AfterValidator, Field

from ensemake.config.batch import BatchSettings
from ensemake.config.scalars import Count, Section, Text

GATE = "ENSEMAKE_GATE"  # what processes of a member with its own store are told beside where it is
# What decides who may come in, and where everything lies, is not to be set by the way.
OURS = {
    **dict.fromkeys(("bind", "protected-mode"), "interface says where it listens"),
    **dict.fromkeys(("port", "tls-port"), "port has a key of its own"),
    **dict.fromkeys(("maxmemory",), "mem_mb says how much"),
    **dict.fromkeys(("dir", "dbfilename", "save"), "save says whether its data are kept"),
    **dict.fromkeys(("loadmodule",), "modules names them"),
    **dict.fromkeys(("requirepass", "user", "aclfile", "masterauth"), "each run has a password"),
    **dict.fromkeys(("unixsocket", "unixsocketperm", "logfile"), "ensemake sets it"),
    **dict.fromkeys(("daemonize", "supervised", "pidfile"), "ensemake starts and ends the server"),
    **dict.fromkeys(("include", "replicaof"), "each server is set up here"),
    **dict.fromkeys(("cluster-enabled",), "nodes says how many servers there are"),
    **dict.fromkeys(("cluster-config-file", "cluster-port", "cluster-node-timeout"), "it is fixed"),
    **dict.fromkeys(("cluster-announce-ip", "cluster-announce-port"), "ensemake sets it"),
}


def _directives(settings: dict[str, Text | int]) -> dict[str, Text | int]:
    for name, value in settings.items():
        if name.lower() in OURS:
            raise ValueError(f"{name}: {OURS[name.lower()]}")
        if not name.replace("-", "").isalnum() or not str(value).isprintable():
            raise ValueError(f"{name!r}: expected a directive of the server and its value")
    return settings


def _servers(nodes: int) -> int:
    if nodes == 2:
        raise ValueError("a cluster has 3 servers or more; write 1, or 3")
    return nodes


Servers = Annotated[Count, AfterValidator(_servers)]
Directives = Annotated[dict[Text, Text | int], AfterValidator(_directives)]


class Colocated(Section):
    """A store of each member's own: a server that runs beside it, on its first node."""

    cpus: Count = Field(1, description="CPUs that a member needs for it beside its own")
    mem_mb: Count | None = Field(
        None,
        description="memory that its data may take, beside the `mem_mb` of `resources` if that is "
        "given; what does not fit is refused",
    )
    settings: Directives = Field({}, description="directives of the server, as in its redis.conf")
    unix_socket: bool = Field(
        True,
        description="programs of a member on one node reach it by a Unix socket; else by a port of "
        "the loopback",
    )
    interface: Text | None = Field(
        None,
        description="network interface or address it listens on where a member has several nodes; "
        "default: that of the node's name",
    )


class Database(Section):
    """A store in memory: a Redis or Valkey server that runs beside those who share it."""

    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0, description="0: any that is free; of several servers the first"
    )
    nodes: Servers = Field(
        1, description="servers; 3 or more share the keys among them, on as many nodes as there are"
    )
    cpus: Count = Field(1, description="CPUs that are kept free for each in a cluster's job")
    mem_mb: Count | None = Field(
        None, description="memory that the data of each may take; what does not fit is refused"
    )
    interface: Text | None = Field(
        None,
        description="network interface or address it listens on; default: this machine's own "
        "(loopback), where a job has several nodes that of the node's name",
    )
    settings: Directives = Field({}, description="directives of the server, as in its redis.conf")
    modules: list[Text] = Field(
        [], description="modules of the server that bring commands in place of ensemake's tensors"
    )
    save: bool = Field(
        True, description="keep the data under results at the end, and go on with them"
    )
    server: Text | None = Field(
        None,
        description="program; default `valkey-server` or `redis-server` on PATH, else that of "
        "`ensemake[store]`",
    )
    batch_settings: BatchSettings = Field(
        BatchSettings(), description="the job in which it runs with all who share it"
    )
