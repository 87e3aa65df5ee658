"""Variables of netCDF and HDF5 files."""

import os
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

from ensemake.atomic import LARGEST, open_regular
from ensemake.config.faults import did_you_mean
from ensemake.metrics.left import TOO_LARGE

MISSING = "netCDF and HDF5 files are read with netCDF4: pip install 'ensemake[netcdf]'"


def read_variable(path: Path, name: str, rows: slice | int = slice(None)) -> Any:
    """Return a variable, or some of it along its first dimension, as a NumPy array.

    What a file marks as missing is NaN.

    Raises
    ------
    ValueError
        It is no such file, has no such variable, or this holds no numbers or too many.
    """
    if find_spec("netCDF4") is None:
        raise ValueError(MISSING)
    os.close(open_regular(path))
    os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")  # its program may still write it
    import netCDF4  # a quarter of a second to import

    with netCDF4.Dataset(path) as data:
        return _read(_find(data, name), name, rows)


def _find(data: Any, name: str) -> Any:
    try:
        found = data[name]
        if hasattr(found, "dtype"):
            return found
    except (IndexError, KeyError):
        pass
    known = list(data.variables)
    hint = did_you_mean(name, known) or f", it has {', '.join(known[:20])}"
    raise ValueError(f"no variable {name!r}{hint}") from None


def _read(found: Any, name: str, rows: slice | int) -> Any:
    import numpy

    if getattr(found.dtype, "kind", "O") not in "iufb":
        raise ValueError(f"{name!r} holds no numbers")
    shape = found.shape
    if shape and isinstance(rows, int) and not -shape[0] <= rows < shape[0]:
        raise ValueError(f"no row {rows}, it has {shape[0]}")
    wanted = len(range(shape[0])[rows]) if shape and isinstance(rows, slice) else 1
    if wanted * prod(shape[1:]) * found.dtype.itemsize > LARGEST:
        raise ValueError(f"{name!r} {TOO_LARGE}")
    values = numpy.ma.asarray(found[rows] if shape else found[...])
    return values.filled(numpy.nan) if values.dtype.kind == "f" else _filled(values)


def _filled(values: Any) -> Any:
    import numpy

    is_masked = bool(numpy.ma.getmaskarray(values).any())
    return values.astype(float).filled(numpy.nan) if is_masked else values.filled()
