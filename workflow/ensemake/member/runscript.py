"""A member's run.sh: the exact command, and the lock and the record that make it safe to repeat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from shlex import quote

from ensemake.config.schema import Container

HEAD = """\
#!/usr/bin/env bash
# {title}
# Written by ensemake. `bash run.sh` does what the workflow does, wherever it is started from.
set -euo pipefail
[[ ${{BASH_SOURCE[0]}} != */* ]] || cd -- "${{BASH_SOURCE[0]%/*}}"

"""

# Only builtins on the way to the command: forks are what a short member costs.
# The lock is inherited by the command, so that one that outlives a killed run.sh still holds it.
# Who starts many members may take it for them, open as 9: the program flock is a fork as well.
# status.json is one line, written in one go where there is none: half of it, on a full disk, is no
# JSON and counts as none. One that is there is replaced by a rename.
MACHINERY = r"""
# ---- the same in every run.sh: one run at a time, its outcome in status.json ----

say() { printf 'ensemake: %s: %s\n' "$PWD" "$*" >&2; }

clock() { # set now (microseconds) and date
  now=${EPOCHREALTIME:-$(date +%s).000000}
  now=${now/[.,]/}
  if ((BASH_VERSINFO[0] >= 5)); then
    printf -v date '%(%Y-%m-%dT%H:%M:%S%z)T' -1
  else
    date=$(date +%Y-%m-%dT%H:%M:%S%z)
  fi
}

missing() { # succeed if a declared output is not there, and name it
  local file
  for file in ${outputs[@]+"${outputs[@]}"}; do
    [ -e "$file" ] || { absent=$file; return 0; }
  done
  return 1
}

completed() {
  local text=
  [ -f status.json ] && read -r text <status.json || :
  [[ $text == *'"status": "completed"'*"\"digest\": \"$digest\""*'}' ]] && ! missing
}

record() { # status, exit code, reason
  clock
  local ms=$(((now - began) / 1000)) reason=${3//\\/\\\\} file=status.json elapsed text
  printf -v elapsed '%d.%03d' $((ms / 1000)) $((ms % 1000))
  printf -v text '{"status": "%s", "exit_code": %d, "digest": "%s", "host": "%s", ' \
    "$1" "$2" "$digest" "$HOSTNAME"
  printf -v text '%s"started": "%s", "elapsed_s": %s, "attempt": %d, "reason": "%s", "run": "%s"}' \
    "$text" "$started" "$elapsed" "$attempt" "${reason//\"/\\\"}" "${ENSEMAKE_RUN-}"
  [ ! -e status.json ] || file=status.json.tmp
  printf '%s\n' "$text" >$file
  [ $file = status.json ] || mv -f $file status.json
}

fail() { # status, exit code, reason
  say "$1: $3; see run.err"
  record "$@"
  exit $(($2 ? $2 : 1))
}

manager() { # set why: what Slurm says of a job that it ends
  local text=
  why=
  [ -z "${SLURM_JOB_ID:-}" ] || text=$(scontrol -o show job "$SLURM_JOB_ID" 2>/dev/null) || :
  if [[ $text =~ \ Reason=([A-Za-z]+) && ${BASH_REMATCH[1]} != None ]]; then
    why=${BASH_REMATCH[1]}
  elif [[ $text =~ \ JobState=([A-Z_]+) && ${BASH_REMATCH[1]} != @(RUNNING|COMPLETING) ]]; then
    why=${BASH_REMATCH[1]}
  fi
}

cancelled() { # exit code, reason; written before Slurm is asked, which may take longer than we have
  record cancelled "$@"
  manager
  fail cancelled "$1" "$2${why:+ (Slurm: $why)}"
}

stop() { # the signal goes to the command and all it started; wait below sees them end
  signal=$1
  [ -z "$child" ] || kill -TERM -- "-$child" 2>/dev/null || :
}

if ! [[ ${ENSEMAKE_LOCKED-} && /dev/fd/9 -ef .lock ]]; then
  exec 9>>.lock
  if command -v flock >/dev/null && ! flock -n 9; then
    say "is being run already; waiting for that to end"
    flock 9 || say "this file system has no locks; going on without"
  fi
fi
unset ENSEMAKE_LOCKED # not for a run.sh that the command may start
if completed; then
  say "completed already, nothing to do"
  exit 0
fi

last= attempt=0
read -r last attempt _ <.lock || :
[ "$last" = "$digest" ] || attempt=0
attempt=$((attempt + 1))
clock
began=$now started=$date
if [ "$last" != "$digest" ]; then # what another recipe left must not pass for this one's output
  for file in ${outputs[@]+"${outputs[@]}"}; do
    [ -e "$file" ] || continue
    mkdir -p "$(dirname "previous/$file")"
    rm -rf "previous/$file"
    mv "$file" "previous/$file"
  done
fi
[ ! -e status.json ] || rm status.json
printf '%s %d %s %d %s\n' "$digest" "$attempt" "$HOSTNAME" $$ "$started" >.lock

signal= child=
trap 'stop TERM' TERM
trap 'stop INT' INT
trap 'stop HUP' HUP
set -m # a process group of its own, so that stop reaches all of it
${launch[@]+"${launch[@]}"} "${command[@]}" </dev/null >run.out 2>run.err &
child=$!
[ -z "$signal" ] || stop "$signal"
code=0
wait "$child" || code=$?
while [ -n "$signal" ] && kill -0 "$child" 2>/dev/null; do
  code=0
  wait "$child" || code=$?
done

if [ -n "$signal" ]; then
  cancelled $((code ? code : 143)) "stopped by SIG$signal"
elif ((code == 143 || code == 130)); then # the signal reached the command before this shell
  cancelled $code "stopped by SIG$(kill -l $((code - 128)))"
elif ((code > 128)) && name=$(kill -l $((code - 128)) 2>/dev/null); then
  fail failed $code "killed by SIG$name"
elif ((code)); then
  fail failed $code "exit code $code"
elif missing; then
  fail failed 0 "left no output $absent"
fi
record completed 0 ""
"""


FURTHER = ' "${further[@]}"'


@dataclass(frozen=True)
class RunScript:
    """All that a member's run.sh is made of."""

    title: str
    digest: str
    command: Sequence[str]
    launch: Sequence[str] = ("launch=()",)
    environment: Mapping[str, str] = field(default_factory=dict)
    outputs: Sequence[str] = ()
    container: Container | None = None
    several: bool = False  # the launch lines set the words of further programs


def run_script(run: RunScript) -> str:
    """Return the text of run.sh; every word of the user's stands quoted."""
    further = FURTHER if run.several else ""
    inside = '"${container[@]}" ' if run.container else ""
    lines = [
        f"digest={quote(run.digest)}",
        f"outputs=({quoted_words(run.outputs)})",
        *(f"export {name}={quote(value)}" for name, value in run.environment.items()),
        *run.launch,
        *(_contained(run.container) if run.container else []),
        f"command=({inside}{quoted_words(run.command)}{further})",
    ]
    title = " ".join(run.title.split())
    return HEAD.format(title=title) + "\n".join(lines) + "\n" + MACHINERY


def quoted_words(texts: Sequence[str]) -> str:
    """Return texts as words of bash, each quoted."""
    return " ".join(quote(text) for text in texts)


def _contained(container: Container) -> list[str]:
    binds = quoted_words([word for bind in container.bind for word in ("--bind", bind)])
    return [
        "container=$(command -v apptainer || command -v singularity) || {",
        "  echo 'ensemake: the container wants apptainer or singularity on PATH' >&2",
        "  exit 127",
        "}",
        f'container=("$container" exec --pwd "$PWD" --bind "$PWD" {binds} '
        f"{quote(container.image)})",
    ]
