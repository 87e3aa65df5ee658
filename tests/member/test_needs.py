"""What a member's job needs beside what its config says: the room of a store of its own."""

from typing import Any

import pytest

from ensemake.batch.placement import Needs
from ensemake.batch.runner import needs_of
from ensemake.cluster.resources import batch_resources, member_resources
from ensemake.config.batch import BatchSettings
from ensemake.config.schema import Model
from ensemake.member.colocated import threads
from ensemake.member.command import resource
from ensemake.member.needs import THREADS, needed
from ensemake.member.plan import Plan, Planned

OWN = {"cpus": 2, "mem_mb": 100}
CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"cpus_per_task": 3}),
    ({"tasks": 1, "cpus_per_task": 4}, {"tasks": 1, "cpus_per_task": 6}),
    ({"tasks": 8}, {"tasks": 10}),  # as many tasks more as have its CPUs
    ({"tasks": 8, "cpus_per_task": 3}, {"tasks": 9, "cpus_per_task": 3}),
    ({"tasks": "{{ n }}"}, {"tasks": 6, "cpus_per_task": 1}),
    ({"tasks": "{{ n // 4 }}", "cpus_per_task": "{{ n }}"}, {"tasks": 1, "cpus_per_task": 6}),
    ({"tasks": 3, "cpus_per_task": "{{ n / 3 }}"}, {"tasks": 4, "cpus_per_task": 2}),
    ({"cpus_per_task": "{% if n > 3 %}7{% endif %}"}, {"cpus_per_task": 9}),
    ({"mem_mb": 1000, "gpu": 1}, {"cpus_per_task": 3, "mem_mb": 1100, "gpu": 1}),
    ({"mem_mb": "{{ 10 * n }}"}, {"cpus_per_task": 3, "mem_mb": 140}),
]


def entity(resources: dict[str, Any], **own: Any) -> Model:
    keys = {"run_settings": [{"exe": "x"}], "resources": resources}
    return Model.model_validate({**keys, "colocated_db": {**OWN, **own}})


@pytest.mark.parametrize(("given", "expected"), CASES)
def test_what_is_added(given: dict[str, Any], expected: dict[str, Any]) -> None:
    model = entity(given)
    found = {key: resource(value, {"n": 4}) for key, value in needed(model).items()}
    assert found == {**given, **expected}
    assert needed(model.model_copy(update={"colocated_db": None})) == given


def test_who_is_told() -> None:
    """Slurm and PBS, for a member and for a batch, and the batch runner."""
    model = entity({"mem_mb": 1000})
    asked = member_resources(model)
    assert (asked["cpus_per_task"], asked["mem_mb"]) == (3, 1100)
    words = batch_resources(BatchSettings(), needed(model))["pbs_extra"]
    assert "ncpus=3" in words
    assert "mem=1100mb" in words
    plan = Plan("e", model, [Planned("m", "d", "1-a", {})])
    assert needs_of(plan) == Needs(cpus_per_task=3, mem_mb=1100)


def test_threads_are_those_of_the_member() -> None:
    assert threads(entity({"cpus_per_task": "{{ n }}"}), {"n": 4}) == ["6", "4", *THREADS]
    assert threads(entity({"tasks": 4}), {})[:2] == ["1", "1"]
