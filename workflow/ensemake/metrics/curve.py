"""A curve that grows, and how far its file has been read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Points = tuple[Sequence[float], Sequence[float]]  # index and value


@dataclass
class Curve:
    """The points of a curve: every ``stride``-th of ``count`` that were read, and the last one."""

    index: list[float] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    count: int = 0
    stride: int = 1
    last: tuple[float, float] | None = None

    def add(self, index: Sequence[float] | None, value: Sequence[float], most: int) -> None:
        """Add points; without an index they are counted."""
        index = range(self.count, self.count + len(value)) if index is None else index
        if len(index) != len(value):
            raise ValueError(f"the index has {len(index)} points, the curve {len(value)}")
        if value:
            self.last = (index[-1], value[-1])
        first = -self.count % self.stride
        self.index.extend(index[first :: self.stride])
        self.value.extend(value[first :: self.stride])
        self.count += len(value)
        self.thin(most)

    def thin(self, most: int) -> None:
        """Leave out every second point until there are no more than some."""
        while len(self.value) > most:
            self.index, self.value = self.index[::2], self.value[::2]
            self.stride *= 2

    def points(self) -> Points:
        """Return index and value of what is left, with the last point."""
        if self.last is None or (self.count - 1) % self.stride == 0:
            return self.index, self.value
        return [*self.index, self.last[0]], [*self.value, self.last[1]]


@dataclass
class ReadPlace:
    """How far a file has been read for a curve, and as which file it was known."""

    offset: int = 0
    sign: str = ""  # its first bytes
    stamp: tuple[int, ...] = ()
    head: str = ""  # what a table begins with


@dataclass
class Curves:
    """The curves of a member, and what is wrong with those that have a fault."""

    curves: dict[str, Curve] = field(default_factory=dict)
    places: dict[str, ReadPlace] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    begun: str = ""  # the attempt that its files are of
    ended: str = ""  # its end, if that was seen: then nothing is read again

    def about(self) -> dict[str, Any]:
        """Return all but the points, as JSON can hold it."""
        curves = {
            name: [len(one.value), one.count, one.stride, one.last]
            for name, one in self.curves.items()
        }
        places = {name: asdict(place) for name, place in self.places.items()}
        ends = {"begun": self.begun, "ended": self.ended}
        return {"curves": curves, "places": places, "faults": self.faults, **ends}


def known_curves(about: Mapping[str, Any], points: Callable[[int], Points]) -> Curves:
    """Return what `Curves.about` told of; ``points`` gives the next ones, so many."""
    curves = {}
    for name, (size, count, stride, last) in about["curves"].items():
        index, value = points(size)
        end = None if last is None else (last[0], last[1])
        curves[name] = Curve(list(index), list(value), count, stride, end)
    places = {
        name: ReadPlace(**{**place, "stamp": tuple(place["stamp"])})
        for name, place in about["places"].items()
    }
    return Curves(curves, places, dict(about["faults"]), about["begun"], about["ended"])
