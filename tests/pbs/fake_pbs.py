#!/usr/bin/env -S python3 -S -E
"""A PBS in one program: qsub, qstat, qdel, qselect by the name it is called by.

Its state is a folder (FAKE_PBS_HOME): `state.json` holds jobs and settings, `calls.log` one line
per command. A job is a background process of its own; nothing else runs between commands.
What it prints, and its exit codes, are those recorded from a real server.

Settings (all off by default), set by the tests with `Fake.set`:

    history     finished jobs stay known (-x); on by default
    json        "old" = the writer of release 23.06.06 and before, not always JSON
    down        number of server calls still to be refused
    hang        commands that wait for ever
    mute        number of qsub calls that submit, but whose answer is lost
    reject      [exit code, message] for qsub
    fate        {pattern of job names: what happens}, where what happens is one of
                never (Can Never Run), held (by the system), wait (stays queued), stopped
                (Queue not started), walltime, mem, lost (node), purge (known to nobody once
                over), gone (leaves no trace, not even a marker), requeue (run twice),
                reused (gone, and its id given to a job that ends well),
                exiting (stays in E until released)
"""

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

HOME = Path(os.environ["FAKE_PBS_HOME"])
SERVER = "pbshost"
PORTS = 511
DEFAULTS = {
    "history": True,
    "json": "new",
    "down": 0,
    "mute": 0,
    "hang": [],
    "reject": None,
    "fate": {},
}
NEVER = "Can Never Run: Insufficient amount of resource: mem (R: 900gb A: 24105mb T: 24105mb)"
HELD = "job held, too many failed attempts to run"
KILLED = ("walltime", "mem", "lost", "gone", "reused", "requeue")
RAN = f"Job run at Mon Nov 23 at 16:33 on ({SERVER}:ncpus=1)"
USAGE = "usage: qsub [-a date_time] [-A account_string] [-c interval]\n\t[script | -- command]"


class RefusedError(Exception):
    """A command fails with a message and an exit code."""

    def __init__(self, code, *lines):
        super().__init__("\n".join(lines))
        self.code = code


# State


@contextmanager
def state():
    """The state, alone; changes are written back."""
    with open(HOME / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = HOME / "state.json"
        data = json.loads(path.read_text()) if path.exists() else {"next": 0, "jobs": {}}
        for key, value in DEFAULTS.items():
            data.setdefault(key, value)
        yield data
        part = path.with_suffix(".part")
        part.write_text(json.dumps(data))
        part.replace(path)


def peek():
    """The state, to look at only; it is replaced in one go."""
    return json.loads((HOME / "state.json").read_text())


def update(job_id, **values):
    """Change a job unless it is over."""
    with state() as data:
        job = data["jobs"].get(job_id)
        if job and job["job_state"] not in ("F", "X"):
            job.update(values)


def finish(job_id, status, comment):
    """End a job, its array with the last one, and forget it where there is no history."""
    with state() as data:
        job = data["jobs"].get(job_id)
        if job is None or job["job_state"] in ("F", "X"):
            return
        job.update(job_state="F", comment=comment)
        if status is not None:
            job["Exit_status"] = status
        if job.get("fate") in ("purge", "gone"):
            del data["jobs"][job_id]
        finish_array(data, job_id, status or 0)
        forget(data)


def finish_array(data, job_id, status):
    """Sub-jobs are X until the last is over; the array shows the last one's status, roughly."""
    whole = re.sub(r"\[\d+\]", "[]", job_id)
    if whole == job_id or whole not in data["jobs"]:
        return
    summary = 0 if status == 0 else 1 if status > 0 else 2
    data["jobs"][whole].update(job_state="B", Exit_status=summary)
    parts = [job for name, job in data["jobs"].items() if part_of(name, whole)]
    over = all(job["job_state"] in ("F", "X") for job in parts)
    for job in parts:
        if job["job_state"] in ("F", "X"):
            job["job_state"] = "F" if over else "X"
            if not data["history"]:
                job["Exit_status"] = summary  # sic
    if over:
        data["jobs"][whole]["job_state"] = "F"


def part_of(job_id, whole):
    """Tell whether a job is a sub-job of `whole`."""
    return job_id != whole and re.sub(r"\[\d+\]", "[]", job_id) == whole


def forget(data):
    """Without history, what is over is unknown."""
    if not data["history"]:
        data["jobs"] = {k: v for k, v in data["jobs"].items() if v["job_state"] != "F"}


# Running a job


def login_environment(job_id, job):
    """What a login shell on a node has; nothing of the submitting process."""
    home = HOME / "home"
    scratch = HOME / f"tmp.{job_id}"
    scratch.mkdir(exist_ok=True)
    lines, ncpus, gpus = nodes_of(job["resources"])
    nodefile = HOME / f"nodes.{job_id}"
    nodefile.write_text("".join(f"{line}\n" for line in lines))
    return {
        "HOME": str(home),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "TMPDIR": str(scratch),
        "NCPUS": ncpus,
        "OMP_NUM_THREADS": ncpus,
        "PBS_NODEFILE": str(nodefile),
        **({"CUDA_VISIBLE_DEVICES": ",".join(map(str, range(gpus)))} if gpus else {}),
        "PBS_JOBID": job_id,
        "PBS_JOBNAME": job["Job_Name"],
        "PBS_O_WORKDIR": job["workdir"],
        "PBS_ENVIRONMENT": "PBS_BATCH",
        **({"PBS_ARRAY_INDEX": job["index"]} if job["index"] else {}),
    }


def nodes_of(resources):
    """The lines of the node file, one per MPI process; CPUs and GPUs of the first chunk."""
    selects = [text.removeprefix("select=") for text in resources if text.startswith("select=")]
    lines, sizes = [], []
    for part in (selects or ["1"])[-1].split("+"):
        count, *pairs = part.split(":")
        chunk = {"ncpus": "1", "mpiprocs": "1", **dict(pair.split("=") for pair in pairs)}
        for _ in range(int(count)):
            name = f"node{len(sizes)}" if sizes else socket.gethostname()
            lines += [name] * int(chunk["mpiprocs"])
            sizes.append((chunk["ncpus"], int(chunk.get("ngpus", 0))))
    return lines, *sizes[0]


def start(job_id, job, log):
    """Start the script as PBS does: in $HOME, umask 077, output spooled."""
    (HOME / "home").mkdir(exist_ok=True)
    umask = int(job["umask"], 8)
    return subprocess.Popen(
        ["/bin/bash", "-s"],
        stdin=open(HOME / f"{job['script']}"),
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=HOME / "home",
        env=login_environment(job_id, job),
        start_new_session=True,
        preexec_fn=lambda: os.umask(umask),
    )


def kill(group, patience=1.0):
    """TERM, and KILL if that did not help, as qdel and the limits do."""
    end = time.monotonic() + patience
    try:
        os.killpg(group, signal.SIGTERM)
        while time.monotonic() < end:
            os.killpg(group, 0)
            time.sleep(0.05)
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run_once(job_id, job, fate):
    """Run the script; return its Exit_status and comment."""
    spool = HOME / f"spool.{job_id}"
    with open(spool, "wb") as log:
        process = start(job_id, job, log)
        update(job_id, job_state="R", comment=RAN, pgid=process.pid, run_count=job["run_count"])
        if fate in KILLED and job["run_count"] == 1:
            kill(process.pid, patience=0)
        code = process.wait()
        if fate == "walltime":
            log.write(b"=>> PBS: job killed: walltime 21 exceeded limit 3\n")
    deliver(spool, job["output"])
    return (256 - code if code < 0 else code), f"{RAN} and {'failed' if code else 'finished'}"


def deliver(spool, output):
    """Copy the output; into a missing folder it does not go, and nobody is told."""
    try:
        Path(output).write_bytes(spool.read_bytes())
    except OSError:
        spool.rename(spool.with_suffix(".undelivered"))


def live(job_id, job):
    """The life of a job, in a process of its own."""
    fate = job["fate"]
    if not wait_for_turn(job_id, fate):
        return
    job["run_count"] = 1
    status, comment = run_once(job_id, job, fate)
    if fate == "requeue":
        update(job_id, job_state="Q", Exit_status=-11, comment="requeued")
        time.sleep(0.3)
        job["run_count"] = 2
        status, comment = run_once(job_id, job, fate)
    if fate == "reused":
        update(job_id, Job_Name="another-0123456789abcdef")
        status = 0
    if fate in ("walltime", "mem", "lost"):
        status = {"walltime": -29, "mem": -27, "lost": -4}[fate]
        comment = f"{RAN} and exceeded resource {fate}" if fate != "lost" else f"{RAN} and failed"
    with state() as data:
        if data["jobs"].get(job_id, {}).get("deleted"):
            comment = f"{RAN} and terminated by user@{SERVER}"
    update(job_id, job_state="E", Exit_status=status, comment=comment)
    while fate == "exiting" and not (HOME / "release").exists():
        time.sleep(0.05)
    finish(job_id, status, comment)


def wait_for_turn(job_id, fate):
    """Stay in the queue where that is the job's fate; False if it never runs."""
    if fate in ("never", "held"):
        values = {"job_state": "Q", "comment": NEVER}
        if fate == "held":
            values = {"job_state": "H", "Hold_Types": "s", "Exit_status": -3, "comment": HELD}
        update(job_id, **values)
        return False
    if fate == "stopped":
        update(job_id, comment="Queue not started")
    while fate in ("wait", "stopped") and not (HOME / "release").exists():
        time.sleep(0.2)
        if peek()["jobs"].get(job_id, {}).get("job_state") != "Q":
            return False
    time.sleep(0.05)
    return True


# qsub


def parse(argv, with_value):
    """Split options from the rest."""
    options, rest = {}, []
    while argv:
        word = argv.pop(0)
        if word in with_value:
            options.setdefault(word, []).append(argv.pop(0))
        elif word.startswith("-"):
            options.setdefault(word, []).append("")
        else:
            rest.append(word)
    return options, rest


def check_name(name):
    """The rules for -N."""
    if len(name) > 230:
        raise RefusedError(2, "qsub: Job name is too long")
    if not re.fullmatch(r"[A-Za-z0-9_.+-]+", name):
        raise RefusedError(2, "qsub: illegal -N value", USAGE)


def check_resources(values):
    """The rules for -l."""
    listed = [value.partition("=") for value in values]
    names = [name for name, _, _ in listed]
    if "select" in names and {"mem", "ncpus"} & set(names):
        raise RefusedError(5, 'qsub: "-lresource=" cannot be used with "select" or "place"')
    for name, _, value in listed:
        if name == "walltime" and not re.fullmatch(r"|\d+(\.\d+)?|(\d+:)?\d+:\d\d", value):
            raise RefusedError(
                166, "qsub: Illegal attribute or resource value Resource_List.walltime"
            )
        if name == "select" and not all(map(chunk_is_legal, value.split("+"))):
            raise RefusedError(
                166, "qsub: Illegal attribute or resource value Resource_List.select"
            )


def chunk_is_legal(text):
    """Check one chunk of a select statement."""
    count, *parts = text.split(":")
    rules = {"mem": r"\d+([kmgt]?b|[kmgt]|w)?"}
    pairs = (part.partition("=") for part in parts)
    return count.isdigit() and all(
        re.fullmatch(rules.get(name, r"\d+"), value, re.IGNORECASE) for name, _, value in pairs
    )


def indices(text):
    """The rules for -J."""
    found = re.fullmatch(r"(\d+)-(\d+)", text)
    if not found or int(found[1]) >= int(found[2]):
        raise RefusedError(2, "qsub: illegal -J value", USAGE)
    if int(found[2]) - int(found[1]) >= 10000:
        raise RefusedError(3, "qsub: Array job exceeds server or queue size limit")
    return [str(i) for i in range(int(found[1]), int(found[2]) + 1)]


def check_submission(data, options, script):
    """Refuse what a server refuses."""
    if not Path(os.environ.get("TMPDIR", "/tmp")).is_dir():
        raise RefusedError(1, "qsub: could not create tmp file")
    if "\r\n" in script:
        raise RefusedError(1, "qsub: script contains cr, lf")
    check_name(options.get("-N", ["STDIN"])[-1])
    check_resources(options.get("-l", []))
    if options.get("-q", ["workq"])[-1] not in ("workq", "stopped"):
        raise RefusedError(170, "qsub: Unknown queue")
    if data["reject"]:
        raise RefusedError(*data["reject"])


def fate_of(data, name):
    """What the test has planned for jobs of this name."""
    return next((what for how, what in data["fate"].items() if re.search(how, name)), "")


def new_job(data, options, script_name, index=""):
    """A job as the state holds it."""
    name = options.get("-N", ["STDIN"])[-1]
    attributes = dict(pair.split("=", 1) for pair in options.get("-W", []))
    return {
        "Job_Name": name,
        "Job_Owner": f"user@{SERVER}",
        "job_state": "Q",
        "Hold_Types": "n",
        "Submit_arguments": " ".join(sys.argv[1:]),
        "Account_Name": options.get("-A", [""])[-1],
        "output": options["-o"][-1].replace("^array_index^", index),
        "resources": options.get("-l", []),
        "workdir": os.getcwd(),
        "umask": attributes.get("umask", "077"),
        "index": index,
        "script": script_name,
        "fate": fate_of(data, name),
    }


def qsub(argv):
    """Submit the script on stdin."""
    options, rest = parse(argv, tuple(f"-{letter}" for letter in "NojlqAJSCWPp"))
    if rest:
        raise RefusedError(2, USAGE)
    script = sys.stdin.read()
    with state() as data:
        check_submission(data, options, script)
        number = data["next"]
        data["next"] += 1
        (HOME / f"{number}.SC").write_text(script)
        parts = indices(options["-J"][-1]) if "-J" in options else []
        job_id = f"{number}[].{SERVER}" if parts else f"{number}.{SERVER}"
        jobs = {f"{number}[{i}].{SERVER}": new_job(data, options, f"{number}.SC", i) for i in parts}
        whole = new_job(data, options, f"{number}.SC")
        if parts and whole["fate"] == "never":
            whole["comment"] = NEVER
        data["jobs"].update({job_id: whole, **jobs})
        mute, data["mute"] = data["mute"] > 0, max(data["mute"] - 1, 0)
    if not mute:
        print(job_id, flush=True)
    for name, job in (jobs or {job_id: whole}).items():
        in_background(live, name, job)
    if mute:
        raise RefusedError(162, "Connection refused")


def in_background(function, *args):
    """Run a function in a process that outlives this one and holds none of its pipes."""
    if os.fork():
        return
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    try:
        function(*args)
    finally:
        os._exit(0)


# qstat, qdel, qselect


def spelled(value):
    """A value as the old writer spells it: quotes only around what looks like text to it."""
    text = str(value)
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+|nan|inf)", text):
        return text
    broken = "".join(c if ord(c) < 128 else f'^^\\x{ord(c) & 255:x}^"' for c in text)
    return f'"{broken}"'


def shown(job):
    """The attributes that qstat shows."""
    hidden = (
        "output",
        "resources",
        "workdir",
        "umask",
        "index",
        "script",
        "fate",
        "pgid",
        "deleted",
    )
    return {k: v for k, v in job.items() if k not in hidden and v != ""}


def as_json(jobs, style):
    """The JSON of this or the old release."""
    head = {"timestamp": 1795451572, "pbs_version": "23.06.06", "pbs_server": SERVER}
    if style == "new":
        listing = {job_id: shown(job) for job_id, job in jobs.items()}
        body = {**head, "Jobs": listing} if jobs else head
        return json.dumps(body, indent="\t", ensure_ascii=False)
    items = (
        f'"{job_id}":{{' + ",".join(f'"{k}":{spelled(v)}' for k, v in shown(job).items()) + "}"
        for job_id, job in jobs.items()
    )
    return '{"pbs_version":"23.06.06","Jobs":{' + ",".join(items) + "}}"


def as_dsv(jobs):
    """One line per job; values escaped."""
    lines = []
    for job_id, job in jobs.items():
        pairs = [f"{key}={value!s}" for key, value in shown(job).items()]
        escaped = (pair.replace("|", "\\|").replace("\n", "\\n") for pair in pairs)
        lines.append("|".join([f"Job Id: {job_id}", *escaped]))
    return "\n".join(lines)


def expanded(data, ids, parts):
    """The jobs that ids stand for; with -t an array stands for itself and its sub-jobs."""
    for job_id in ids:
        if job_id in data["jobs"]:
            yield job_id
        if parts and "[]" in job_id:
            yield from (other for other in data["jobs"] if part_of(other, job_id))


def charge_ports(ids, express):
    """Without -E every id takes a reserved port, and there are not many."""
    used = HOME / "ports"
    count = int(used.read_text() or 0) if used.exists() else 0
    count += 1 if express else len(ids)
    used.write_text(str(count))
    if not express and count > PORTS:
        raise RefusedError(1, "pbs_iff: all reserved ports in use")


def qstat(argv):
    """List jobs given by their ids."""
    options, ids = parse(argv, ("-F",))
    if "-F" in options and "-f" not in options:
        raise RefusedError(2, "usage: qstat ...")
    charge_ports(ids, "-E" in options)
    with state() as data:
        style, history, no_history = data["json"], "-x" in options, not data["history"]
        names = list(expanded(data, ids, "-t" in options)) if not (history and no_history) else []
        jobs = {name: data["jobs"][name] for name in names}
    jobs = {k: v for k, v in jobs.items() if history or v["job_state"] != "F"}
    print(as_dsv(jobs) if options.get("-F") == ["dsv"] else as_json(jobs, style))
    if history and no_history:
        print(f"qstat: PBS is not configured to maintain job history {ids[0]}", file=sys.stderr)
    elif not jobs:
        raise RefusedError(153, f"qstat: Unknown Job Id {ids[0]}")


def delete_one(data, job_id):
    """Delete one job; return (exit code, message, process group)."""
    job = data["jobs"].get(job_id)
    if job is None:
        return 153, f"qdel: Unknown Job Id {job_id}", None
    if job["job_state"] == "E":
        return 168, f"qdel: Request invalid for state of job {job_id}", None
    if job["job_state"] in ("F", "X"):
        code = 55 if job["index"] else 35
        return code, f"qdel: Job has finished {job_id}", None
    job["deleted"] = True
    return 0, "", job.get("pgid")


def qdel(argv):
    """Delete jobs; return before they are gone."""
    code, groups = 0, {}
    with state() as data:
        ids = [
            name for job_id in argv for name in (list(expanded(data, [job_id], True)) or [job_id])
        ]
        for job_id in ids:
            answer, message, group = delete_one(data, job_id)
            code = answer or code
            print(message, end="\n" if message else "", file=sys.stderr)
            if not answer:
                groups[job_id] = group
    for job_id, group in groups.items():
        in_background(end_deleted, job_id, group)
    if code:
        raise RefusedError(code)


def end_deleted(job_id, group):
    """What happens after qdel has returned."""
    if group is None:
        with state() as data:
            comment = data["jobs"][job_id].get("comment", "")
        finish(job_id, None, f"{comment} and terminated".strip())
        return
    kill(group)


def qselect(argv):
    """Ids of unfinished jobs; an array is one."""
    options, _ = parse(argv, ("-u", "-N"))
    with state() as data:
        jobs = data["jobs"].items()
        wanted = options.get("-N", [None])[-1]
        for job_id, job in jobs:
            if job["job_state"] != "F" and not job["index"] and wanted in (None, job["Job_Name"]):
                print(job_id)


def reach_server(command):
    """Refuse or hang where the test wants that."""
    with state() as data:
        hang, refuse = command in data["hang"], data["down"] > 0
        data["down"] -= refuse
    if hang:
        time.sleep(3600)
    if refuse:
        code = 255 if command == "qstat" else 162
        refused = f"{command}: cannot connect to server {SERVER} (errno=15010)"
        raise RefusedError(code, "Connection refused", refused)


def main():
    """Be the command that this was called as."""
    command = Path(sys.argv[0]).name
    if sys.argv[1:] == ["--version"]:
        print("pbs_version = 23.06.06")
        return 0
    with open(HOME / "calls.log", "a") as calls:
        calls.write(f"{time.time():.3f} {command} {json.dumps(sys.argv[1:])}\n")
    try:
        reach_server(command)
        {"qsub": qsub, "qstat": qstat, "qdel": qdel, "qselect": qselect}[command](sys.argv[1:])
    except RefusedError as refused:
        print(refused, end="\n" if str(refused) else "", file=sys.stderr)
        return refused.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
