"""A store of each member's own, as a script asks for it with SmartSim's arguments."""

from collections.abc import Mapping
from typing import Any

from ensemake.errors import UnsupportedError

PORT = "a port is any that is free, since members run beside each other; programs find it by SSDB"
# What SmartSim has in these places, and what is said of anything else.
LEFT_OUT: dict[str, tuple[tuple[Any, ...], str]] = {
    "port": ((None, 0), PORT),
    "unix_socket": ((None,), "each has a socket of its own; programs find it by SSDB"),
    "socket_permissions": ((None,), "its socket is its user's alone"),
    "custom_pinning": ((None,), "bind programs by run_args; db_cpus are kept free for it"),
    "limit_app_cpus": ((None, True), "db_cpus are added to what a member needs"),
    "debug": ((None, False), "its last words are told when it fails"),
    "db_identifier": ((None, ""), "it is found by SSDB; stores that are shared have names"),
    **dict.fromkeys(
        ("threads_per_queue", "inter_op_parallelism", "intra_op_parallelism", "rai_args"),
        ((None,), "it keeps data alone: run models in a program of their own"),
    ),
}


def colocated(keys: Mapping[str, Any], is_unix_socket: bool) -> dict[str, Any]:
    """Return the config of a store of each member's own.

    Parameters
    ----------
    keys
        SmartSim's arguments: db_cpus, and directives of the server by their names (with ``_`` for
        ``-``); mem_mb as the config has it.

    Raises
    ------
    UnsupportedError
        For what there is not, with what there is instead.
    """
    for name, (known, instead) in LEFT_OUT.items():
        if keys.get(name, known[0]) not in known:
            raise UnsupportedError(f"{name}={keys[name]!r}: {instead}")
    own = {"db_cpus": "cpus", "mem_mb": "mem_mb"}
    own_keys = LEFT_OUT.keys() | own.keys() | {"ifname"}
    others = {k: v for k, v in keys.items() if k not in own_keys}
    found: dict[str, Any] = {
        new: keys[name] for name, new in own.items() if keys.get(name) is not None
    }
    if others:
        found["settings"] = {name.replace("_", "-"): value for name, value in others.items()}
    interface = keys.get("ifname", "lo")
    names = [interface] if isinstance(interface, str) else [*interface]
    if len(names) != 1:
        raise UnsupportedError(f"ifname={interface!r}: it listens on one interface; name one")
    if names != ["lo"]:
        found["interface"] = names[0]
    return found | ({} if is_unix_socket else {"unix_socket": False})
