"""Which members of others a member takes."""

from pathlib import Path
from typing import Any

import pytest

from ensemake.config.faults import ConfigError
from ensemake.config.schema import Config
from ensemake.member.expansion import Expansion, expand_work, links
from ensemake.member.plan import Planned, Work

RUN = {"exe": "true"}


def config(**entities: dict[str, Any]) -> Config:
    """Models are those without params."""
    both: dict[str, dict[str, Any]] = {"models": {}, "ensembles": {}}
    for name, entity in entities.items():
        kind = "ensembles" if "params" in entity else "models"
        both[kind][name] = {"run_settings": RUN, **entity}
    return Config.model_validate({"experiment": "e", **both})


def taken(work: Work, source: str) -> list[list[dict[str, Any]]]:
    """Values of what each member takes from a source, without replicas."""
    found = []
    for member in work.planned:
        others = [work.sources[source].by_name[name] for name in dict(member.inputs)[source]]
        found.append([{k: v for k, v in one.values.items() if k != "replica"} for one in others])
    return found


def digests(given: Config, entity: str) -> set[str]:
    return {member.digest for member in expand_work(given, entity).planned}


FIRST = {"params": {"T": [1, 2]}, "outputs": ["out"]}


def test_one_takes_the_member_with_equal_values() -> None:
    second = {"params": {"p": [7, 8], "T": [2.0, 1]}, "inputs": {"first": {}}}
    work = expand_work(config(first=FIRST, second=second), "second")
    assert taken(work, "first") == [[{"T": 2}], [{"T": 1}], [{"T": 2}], [{"T": 1}]]


def test_true_is_not_one() -> None:
    second = {"params": {"T": [True]}, "inputs": {"first": {}}}
    with pytest.raises(ConfigError, match="none of the 2 members of first has T=True"):
        expand_work(config(first=FIRST, second=second), "second")


def test_all_takes_those_of_the_shared_parameters() -> None:
    first = {"params": {"T": [1, 2], "s": [5, 6]}, "outputs": ["out"]}
    gather = {"first": {"members": "all"}}
    given = config(
        first=first, each={"params": {"T": [2]}, "inputs": gather}, whole={"inputs": gather}
    )
    assert taken(expand_work(given, "each"), "first") == [[{"T": 2, "s": 5}, {"T": 2, "s": 6}]]
    assert len(taken(expand_work(given, "whole"), "first")[0]) == 4


def test_the_same_replica_is_taken_where_both_have_several() -> None:
    first = {**FIRST, "replicas": 2}
    second = {"params": {"T": [1]}, "replicas": 2, "inputs": {"first": {}}}
    work = expand_work(config(first=first, second=second), "second")
    names = [dict(member.inputs)["first"][0] for member in work.planned]
    replicas = [work.sources["first"].by_name[name].values["replica"] for name in names]
    assert replicas == [0, 1]
    alone = {"params": {"T": [1]}, "inputs": {"first": {}}}
    with pytest.raises(ConfigError, match=r"2 members of first with T=1 .* write members: all"):
        expand_work(config(first=first, second=alone), "second")


def test_match_names_what_must_be_equal() -> None:
    first = {"params": {"T": [1, 2], "steps": 10}, "outputs": ["out"]}
    second = {"params": {"T": [1, 2], "steps": 99}, "inputs": {"first": {}}}
    with pytest.raises(ConfigError, match="steps is 10"):
        expand_work(config(first=first, second=second), "second")
    second["inputs"] = {"first": {"match": ["T"]}}
    assert len(expand_work(config(first=first, second=second), "second").planned) == 2
    second["inputs"] = {"first": {"match": ["t"]}}
    with pytest.raises(ConfigError, match=r"this has no parameter 't'"):
        expand_work(config(first=first, second=second), "second")


def test_members_are_points_of_a_space() -> None:
    first = {
        "params": {"T": {"uniform": [0, 1]}, "s": 3},
        "perm_strategy": "random",
        "n_models": 4,
        "replicas": 2,
        "derived": {"d": "2 * T"},
    }
    second = {
        "params": {"start": {"members": "first"}, "s": 5, "p": [1, 2]},
        "inputs": {"first": {"files": []}},
    }
    given = config(first=first, second=second)
    work = expand_work(given, "second")
    assert len(work.planned) == 16
    assert list(work.planned[0].values) == ["T", "start", "s", "p", "replica"]
    assert {member.values["s"] for member in work.planned} == {5}  # its own
    for member in work.planned:  # of the replicas the very one that it starts from
        assert dict(member.inputs)["first"] == (member.values["start"],)


def test_members_that_were_passed_on_are_known_again() -> None:
    first = {**FIRST, "replicas": 2}
    second = {"params": {"start": {"members": "first"}, "p": [1, 2]}}
    third = {"params": {"go": {"members": "second"}}, "inputs": {"first": {"files": []}}}
    given = config(first=first, second=second, third=third)
    assert links(given, "third") == {"first": "start", "second": "go"}
    for member in expand_work(given, "third").planned:
        assert dict(member.inputs)["first"] == (member.values["start"],)


def test_formulas_and_conditions_know_the_values_of_inputs() -> None:
    first = {"params": {"T": [1, 2]}, "derived": {"d": "10 * T"}, "outputs": ["out"]}
    second = {
        "params": {"T": [1, 2]},
        "inputs": {"first": {}},
        "derived": {"e": "first.d + 1"},
        "where": "first.d > 10",
    }
    (member,) = expand_work(config(first=first, second=second), "second").planned
    assert member.values["e"] == 21


def test_digests_chain() -> None:
    second = {"params": {"T": [1, 2]}, "inputs": {"first": {}}}
    whole = {"inputs": {"first": {"members": "all"}}}
    before = config(first=FIRST, second=second, whole=whole)
    grown = config(first={**FIRST, "params": {"T": [1, 2, 3]}}, second=second, whole=whole)
    changed = config(first={**FIRST, "run_settings": {"exe": "false"}}, second=second, whole=whole)
    copied = config(
        first=FIRST, second={**second, "inputs": {"first": {"as": "copy"}}}, whole=whole
    )
    assert digests(before, "second") == digests(grown, "second") == digests(copied, "second")
    assert digests(before, "whole") != digests(grown, "whole")
    assert not digests(before, "second") & digests(changed, "second")
    renamed = {"params": {"T": [1, 2]}, "inputs": {"first": {"files": {"out": "in"}}}}
    assert not digests(before, "second") & digests(config(first=FIRST, second=renamed), "second")


def test_a_choice_by_results_waits_for_them(tmp_path: Path) -> None:
    second = {"params": {"best": {"members": "first", "first": 1}}}
    given = config(first=FIRST, second=second)
    with pytest.raises(LookupError, match="known once first has finished"):
        expand_work(given, "second")
    chosen = Expansion(given, tmp_path, lambda work, choice: [work.planned[1].name])
    (member,) = chosen.work("second").planned
    assert isinstance(member, Planned)
    assert member.values["T"] == 2
    none = Expansion(given, tmp_path, lambda work, choice: [])
    assert none.work("second").planned == []
