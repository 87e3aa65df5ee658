"""What holds whatever happens to a run: each function yields what does not."""

from collections.abc import Iterator

from folder import Folder


def after_a_run(folder: Folder, code: int) -> Iterator[str]:
    """Check what holds after each run, whether it went well or not."""
    finished = folder.told("finished")
    for member in folder.completed.keys() - finished.keys():
        yield f"false success: {member} is recorded as completed and never came to its end"
    for row in folder.table():
        if row["status"] == "completed" and row["member"] not in finished:
            yield f"false success: {row['member']} is completed in results.csv and never ended"
        if row["status"] in ("failed", "killed", "cancelled") and not row["reason"]:
            yield f"untold: why {row['member']} is {row['status']}"
    if code == 0 and len(finished) < folder.members:
        yield f"false success: exit code 0 with {len(finished)} of {folder.members} members done"
    for member in folder.told("twice"):
        yield f"twice: {member} ran twice at the same time"
    for line in () if folder.store else folder.ledger():  # whose data are lost runs again
        recorded = folder.completed.get(line.member, line.time)
        if line.what == "started" and line.time > recorded:
            late = line.time - recorded
            yield f"twice: {line.member} started {late:.2f} s after it was recorded as completed"


def unhurt(folder: Folder, code: int) -> Iterator[str]:
    """Check a run that must not have noticed anything."""
    if code != 0:
        yield f"hurt: the run ended with {code}"
    for member, times in folder.told("started").items():
        if times > 1:
            yield f"hurt: {member} was started {times} times"


def in_the_end(folder: Folder, code: int) -> Iterator[str]:
    """Check what the last run left."""
    if code != 0:
        yield f"lost: the run does not come to an end, exit code {code}"
    rows = folder.table()
    lost = folder.members - sum(row["status"] == "completed" for row in rows)
    if lost:
        yield f"lost: {lost} of {folder.members} members"
    for row in rows:
        wanted = str(int(row["x"]) ** 2 + 7)
        if row["status"] == "completed" and (row["value"], row["exit_code"]) != (wanted, "0"):
            yield f"table: {row['member']} has {row['value']}, {row['exit_code']}, not {wanted}, 0"
    if folder.store and code == 0:
        for member in {row["member"] for row in rows} - folder.kept():
            yield f"lost: the data of {member} in the store"
    for path in folder.leftovers():
        yield f"left over: {path}"
