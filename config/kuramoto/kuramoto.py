#!/usr/bin/env python3
"""Synchronisation of coupled oscillators: the Kuramoto model.

N phases follow d(theta_i)/dt = omega_i + K r sin(psi - theta_i), where r exp(i psi) is the mean of
exp(i theta_j): everybody feels only the mean field, so a step costs O(N). The natural frequencies
omega_i are drawn from a Lorentzian of half-width gamma. For N -> infinity the order parameter is
r = 0 below the critical coupling K_c = 2 gamma and r = sqrt(1 - K_c/K) above it.

  Y. Kuramoto, Lecture Notes in Physics 39 (1975) 420-422.
  J. A. Acebron et al., Reviews of Modern Physics 77 (2005) 137-185.

Units: time in s, phases in rad, coupling K, half-width gamma and frequencies in rad/s; r has none.
Only the products K t and gamma t matter, so any other unit of time does as well.

Writes order.csv (time, r) and summary.json (r: mean over the second half) to the current directory.
"""

import argparse
import configparser
import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Setup:
    """One simulation, as the input file describes it."""

    number: int
    coupling: float
    spread: float
    seed: int
    step: float
    steps: int


def read(path: Path) -> Setup:
    """Return the setup in an INI file with the sections [oscillators] and [time]."""
    ini = configparser.ConfigParser()
    with path.open(encoding="utf-8") as file:
        ini.read_file(file)
    who, when = ini["oscillators"], ini["time"]
    return Setup(
        number=int(who["number"]),
        coupling=float(who["coupling"]),
        spread=float(who["spread"]),
        seed=int(who["seed"]),
        step=float(when["step"]),
        steps=int(when["steps"]),
    )


def expected(coupling: float, spread: float) -> float:
    """Return the order parameter of infinitely many oscillators."""
    return float(np.sqrt(max(0.0, 1.0 - 2.0 * spread / coupling))) if coupling > 0.0 else 0.0


def simulate(setup: Setup) -> tuple[np.ndarray, np.ndarray]:
    """Integrate with classical Runge-Kutta; return the times and r at each, shape (steps + 1,)."""
    rng = np.random.default_rng(setup.seed)
    frequencies = setup.spread * rng.standard_cauchy(setup.number)
    phases = rng.uniform(0.0, 2.0 * np.pi, setup.number)
    r = np.empty(setup.steps + 1)
    for n in range(setup.steps):
        phases, r[n] = advance(phases, frequencies, setup.coupling, setup.step)
    r[-1] = abs(np.exp(1j * phases).mean())
    return setup.step * np.arange(setup.steps + 1), r


def advance(
    phases: np.ndarray, own: np.ndarray, coupling: float, step: float
) -> tuple[np.ndarray, float]:
    """Return the phases one step later, and r now."""
    speed1, r = speeds(phases, own, coupling)
    speed2, _ = speeds(phases + 0.5 * step * speed1, own, coupling)
    speed3, _ = speeds(phases + 0.5 * step * speed2, own, coupling)
    speed4, _ = speeds(phases + step * speed3, own, coupling)
    return phases + step / 6.0 * (speed1 + 2.0 * (speed2 + speed3) + speed4), r


def speeds(phases: np.ndarray, own: np.ndarray, coupling: float) -> tuple[np.ndarray, float]:
    """Return d(theta)/dt and r; r sin(psi - theta) = <sin> cos(theta) - <cos> sin(theta)."""
    sines, cosines = np.sin(phases), np.cos(phases)
    x, y = cosines.mean(), sines.mean()
    return own + coupling * (y * cosines - x * sines), float(np.hypot(x, y))


def write(setup: Setup, times: np.ndarray, r: np.ndarray) -> None:
    with Path("order.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["time", "r"])
        rows.writerows((f"{t:.6g}", f"{value:.6f}") for t, value in zip(times, r, strict=True))
    late = r[len(r) // 2 :]  # the first half is spent on forgetting the random start
    limit = expected(setup.coupling, setup.spread)
    summary = {"r": float(late.mean()), "r_sd": float(late.std()), "r_expected": limit}
    Path("summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    print(f"r = {summary['r']:.4f}, in the limit of many oscillators {limit:.4f}")


def main() -> None:
    text, rest = (__doc__ or "").split("\n", 1)
    parser = argparse.ArgumentParser(
        description=text, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("input", type=Path, help="INI file, for example kuramoto.cfg")
    setup = read(parser.parse_args().input)
    write(setup, *simulate(setup))


if __name__ == "__main__":
    main()
