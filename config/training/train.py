#!/usr/bin/env python3
"""Train a small neural network on two spirals, in plain NumPy.

The network (2 inputs, two hidden layers of tanh units, one logit) learns to tell two interleaved
spirals apart by minimising the mean binary cross-entropy over the whole training set. Optimisers:
gradient descent, gradient descent with heavy-ball momentum (Polyak 1964) and Adam (Kingma and Ba
2015). Losses are in nats per point, accuracies are fractions of unseen points; nothing has a unit.

A learning rate that is too large is a result, not an accident: training stops when the loss is
no longer finite or far above that of a guess, `diverged` is true, and the loss recorded is the
last one below the limit. The same arguments always give the same model.json.
"""

import argparse
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

Arrays = list[np.ndarray]
Rule = Callable[[Arrays, Arrays], Arrays]

GUESS = float(np.log(2.0))  # the loss of a network that always says "50 %"
DIVERGED = 100.0 * GUESS


def spirals(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return `count` points, shape (count, 2), on two noisy spirals and their classes 0 or 1."""
    classes = np.arange(count) % 2
    turn = np.sqrt(rng.uniform(0.02, 1.0, count))  # the root spreads points evenly along the arm
    angle = 2.5 * np.pi * turn + np.pi * classes
    points = turn[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    return 2.0 * (points + rng.normal(0.0, 0.03, points.shape)), classes.astype(float)


def initial(widths: list[int], rng: np.random.Generator) -> Arrays:
    """Return weights and biases in turn, scaled after Glorot and Bengio (2010)."""
    layers: Arrays = []
    for fan_in, fan_out in pairwise(widths):
        layers.append(rng.normal(0.0, np.sqrt(2.0 / (fan_in + fan_out)), (fan_in, fan_out)))
        layers.append(np.zeros(fan_out))
    return layers


def forward(weights: Arrays, points: np.ndarray) -> Arrays:
    """Return what every layer puts out, the input first and the logits last."""
    layers = [points]
    for matrix, bias in zip(weights[::2], weights[1::2], strict=True):
        linear = layers[-1] @ matrix + bias
        layers.append(linear if matrix is weights[-2] else np.tanh(linear))
    return layers


def cross_entropy(logits: np.ndarray, classes: np.ndarray) -> float:
    """Return the mean loss; logaddexp keeps it exact for logits of any size."""
    return float(np.mean(np.logaddexp(0.0, logits) - classes * logits))


def gradients(weights: Arrays, layers: Arrays, classes: np.ndarray) -> Arrays:
    """Return the loss's derivatives by back-propagation, in the order of `weights`."""
    chances = 0.5 * (1.0 + np.tanh(0.5 * layers[-1]))  # the logistic function, never overflowing
    error = (chances - classes[:, None]) / len(classes)
    found: Arrays = []
    for below, matrix in zip(layers[-2::-1], weights[-2::-2], strict=True):
        found[:0] = [below.T @ error, error.sum(axis=0)]
        error = (error @ matrix.T) * (1.0 - below**2)
    return found


def each(rule: Callable[..., np.ndarray], *lists: Arrays) -> Arrays:
    """Apply `rule` to the first arrays of all lists, to the second, and so on."""
    return [rule(*arrays) for arrays in zip(*lists, strict=True)]


def sgd(rate: float) -> Rule:
    return lambda weights, slopes: each(lambda w, g: w - rate * g, weights, slopes)


def momentum(rate: float, keep: float = 0.9) -> Rule:
    speeds: Arrays = []

    def step(weights: Arrays, slopes: Arrays) -> Arrays:
        old = speeds or each(np.zeros_like, slopes)
        speeds[:] = each(lambda v, g: keep * v - rate * g, old, slopes)
        return each(np.add, weights, speeds)

    return step


def adam(rate: float, keep1: float = 0.9, keep2: float = 0.999, tiny: float = 1e-8) -> Rule:
    means: Arrays = []
    squares: Arrays = []
    count = 0

    def step(weights: Arrays, slopes: Arrays) -> Arrays:
        nonlocal count
        count += 1
        zeros = each(np.zeros_like, slopes)
        means[:] = each(lambda m, g: m + (1 - keep1) * (g - m), means or zeros, slopes)
        squares[:] = each(lambda s, g: s + (1 - keep2) * (g * g - s), squares or zeros, slopes)
        # Both averages start at zero; the divisions take that bias out.
        pace, fade = rate / (1 - keep1**count), 1 - keep2**count
        return each(
            lambda w, m, s: w - pace * m / (np.sqrt(s / fade) + tiny), weights, means, squares
        )

    return step


OPTIMIZERS: dict[str, Callable[[float], Rule]] = {"sgd": sgd, "momentum": momentum, "adam": adam}


def accuracy(weights: Arrays, points: np.ndarray, classes: np.ndarray) -> float:
    """Return the fraction of points on the right side."""
    return float(np.mean((forward(weights, points)[-1][:, 0] > 0.0) == (classes > 0.5)))


def train(rate: float, opt: str, epochs: int, points: int, seed: int) -> dict[str, Any]:
    """Train once; return what goes into model.json."""
    rng = np.random.default_rng(seed)
    inputs, classes = spirals(points, rng)
    unseen = spirals(1000, rng)
    weights, update = initial([2, 16, 16, 1], rng), OPTIMIZERS[opt](rate)
    losses, history, diverged = [], [], False
    for epoch in range(epochs + 1):
        layers = forward(weights, inputs)
        loss = cross_entropy(layers[-1][:, 0], classes)
        diverged = not loss <= DIVERGED  # true for nan as well
        if diverged:
            break
        losses.append(loss)
        if epoch % max(1, epochs // 20) == 0:
            history.append({"epoch": epoch, "loss": loss, "accuracy": accuracy(weights, *unseen)})
        weights = update(weights, gradients(weights, layers, classes))
    final = {"loss": losses[-1], "accuracy": accuracy(weights, *unseen), "diverged": diverged}
    return {"LR": rate, "optimizer": opt, "seed": seed, "final": final, "history": history}


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    text, rest = (__doc__ or "").split("\n", 1)
    parser = argparse.ArgumentParser(
        description=text, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--LR", type=float, required=True, help="learning rate")
    parser.add_argument("--opt", choices=OPTIMIZERS, default="sgd", help="optimiser (sgd)")
    parser.add_argument("--epochs", type=int, default=500, help="passes over the data (500)")
    parser.add_argument("--points", type=int, default=200, help="points to learn from (200)")
    parser.add_argument("--seed", type=int, default=0, help="draws data and first weights (0)")
    parser.add_argument("--out", type=Path, default=Path("model.json"), help="result (model.json)")
    return parser.parse_args(argv)


def main() -> None:
    args = arguments()
    # Overflow is how a diverging run looks; train() watches the loss for it.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        model = train(args.LR, args.opt, args.epochs, args.points, args.seed)
    args.out.write_text(json.dumps(model, indent=1, allow_nan=False) + "\n")
    final = model["final"]
    end = "diverged" if final["diverged"] else "done"
    print(f"{end}: loss {final['loss']:.4f}, accuracy {final['accuracy']:.3f}")


if __name__ == "__main__":
    main()
