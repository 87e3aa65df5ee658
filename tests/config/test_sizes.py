"""What is too large by mistake is refused at once, with its numbers and how to allow it."""

import time
from pathlib import Path

import pytest

from ensemake.check.config import load_config
from ensemake.config.faults import ConfigError

HEAD = "experiment: e\nensembles:\n  a:\n    run_settings: {exe: echo}\n"
UNIFORM = "    params: {a: {uniform: [0, 1]}}\n"
PRODUCT = "    params: {a: {range: [0, 10000]}, b: {range: [0, 10000]}, c: {range: [0, 10000]}}\n"
BOMB = "experiment: e\na0: &a0 [x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)
MANY = "".join(f"      p{i}: {{uniform: [0, 1]}}\n" for i in range(22_000))
SOME = MANY[: MANY.index("      p1000:")]

TOO_LARGE = {
    "product": (HEAD + PRODUCT, "a.params: 1,000,000,000,000 members (10,000 a x 10,000 b x"),
    "where": (HEAD + PRODUCT + "    where: a == 3\n", "raise max_members (now 1,000,000)"),
    "random": (HEAD + UNIFORM + "    perm_strategy: random\n    n_models: 1" + "0" * 30, "members"),
    "replicas": (HEAD + "    replicas: 1" + "0" * 30, "replicas"),
    "Sobol": (
        HEAD + "    perm_strategy: sobol\n    n_models: 4\n    params:\n" + MANY,
        "22000 parameters vary, and it knows 21201",
    ),
    "values": (
        HEAD + "    perm_strategy: sobol\n    n_models: 400000\n    params:\n" + SOME,
        "parameters are more than can be",
    ),
    "aliases": (BOMB, "aliases (*name) repeat more than 100,000 values"),
    "brackets": ("experiment: " + "[" * 3000 + "]" * 3000, "more than 100 deep"),
    "more brackets than the stack holds": ("experiment: " + "[" * 10**5 + "]" * 10**5, "100 deep"),
    "an alias within its anchor": ("experiment: &a [*a]\n", "lies within its own anchor"),
    "a number": (HEAD + "    params: {a: 9}\n    derived: {b: a ** 3000 * a ** 3000}\n", "large"),
}


@pytest.mark.parametrize("kind", TOO_LARGE)
def test_too_large(kind: str, tmp_path: Path) -> None:
    text, words = TOO_LARGE[kind]
    (tmp_path / "config.yaml").write_text(text)
    began = time.process_time()  # of CPU: the machine may be busy
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "config.yaml")
    assert time.process_time() - began < 10
    assert words in str(caught.value)
    assert caught.value.faults[0].line


def test_the_budget_is_the_users(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    text = HEAD + "    params: {a: {range: [0, 30]}, b: {range: [0, 30]}}\n"
    path.write_text("max_members: 899\n" + text)
    with pytest.raises(ConfigError, match="900 members"):
        load_config(path)
    path.write_text("max_members: 900\n" + text)
    assert load_config(path)
