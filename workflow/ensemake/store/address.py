"""Where a server listens: one address of this machine, never all of them."""

import socket

import psutil  # type: ignore[import-untyped]


def listening_address(interface: str | None, has_others: bool) -> str:
    """Return the address that a server listens on.

    Parameters
    ----------
    interface
        Name of a network interface, or one of this machine's addresses.
    has_others
        Whether other nodes have to reach it.

    Raises
    ------
    ValueError
        If that is no address of this machine, or one that others do not reach.
    """
    if interface is None:
        return _of_name() if has_others else "127.0.0.1"
    known = {
        name: [one.address for one in addresses if one.family == socket.AF_INET]
        for name, addresses in psutil.net_if_addrs().items()
    }
    own = [address for addresses in known.values() for address in addresses]
    if interface in own:
        return interface
    if not known.get(interface):
        names = ", ".join(f"{name} {address[0]}" for name, address in known.items() if address)
        raise ValueError(f"{socket.gethostname()} has no interface {interface!r}; it has {names}")
    return str(known[interface][0])


def _of_name() -> str:
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError as error:
        raise ValueError(f"the node's name {name} has no address ({error})") from None
    if address.startswith("127."):
        message = f"the node's name {name} stands for {address}, which no other node reaches"
        raise ValueError(f"{message}; name an interface (databases: {{NAME: {{interface: ib0}}}})")
    return address


def free_port(address: str) -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as trial:
        trial.bind((address, 0))
        return int(trial.getsockname()[1])
