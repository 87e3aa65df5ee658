"""When Snakemake looks for jobs to start, and at how many."""

from types import SimpleNamespace
from typing import Any

import pytest

from ensemake.workflow.run import pace

PROFILE = SimpleNamespace(max_jobs=10_000, timespan=5)
PACED = SimpleNamespace(max_jobs=100, timespan=60)


def workflow(limiter: object = PROFILE, seen: int | None = 50, **settings: Any) -> Any:
    nodes = settings.get("nodes")
    return SimpleNamespace(
        scheduler=SimpleNamespace(job_rate_limiter=limiter, subsample=seen),
        resource_settings=SimpleNamespace(nodes=nodes),
        local_exec=nodes is None,
        cores=settings.get("cores", 4),
    )


def needing(threads: object = 1, **resources: object) -> Any:
    return SimpleNamespace(threads=threads, resources=resources)


@pytest.mark.parametrize(
    ("limiter", "seen", "nodes", "has_timers"),
    [
        (PROFILE, 200, 200, False),
        (PROFILE, 200, 201, True),
        (PROFILE, None, 10, True),
        (PACED, 200, 10, True),
        (None, 200, 10, False),
    ],
)
def test_jobs_are_submitted_without_timers_where_one_look_sees_enough(
    limiter: object, seen: int | None, nodes: int, has_timers: bool
) -> None:
    run = workflow(limiter, seen, nodes=nodes)
    pace(run, [])
    assert (run.scheduler.job_rate_limiter is not None, run.scheduler.subsample) == (
        has_timers,
        seen,
    )


@pytest.mark.parametrize(
    ("entities", "cores", "seen"),
    [
        ([needing(mem_mb=10)], 4, 4),
        ([needing(mem_mb=10), needing(mem_mb=10)], 4, 50),
        ([needing(mem_mb=lambda wildcards: 10)], 4, 50),
        ([needing(lambda wildcards: 1)], 64, 64),
        ([], 4, 50),
    ],
)
def test_of_members_that_need_the_same_as_many_are_looked_at_as_can_start(
    entities: list[Any], cores: int, seen: int
) -> None:
    run = workflow(PACED, cores=cores)
    pace(run, entities)
    assert (run.scheduler.job_rate_limiter, run.scheduler.subsample) == (None, seen)
