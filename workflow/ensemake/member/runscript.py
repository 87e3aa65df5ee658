"""A member's run.sh: the exact command, and the lock and the record that make it safe to repeat."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from shlex import quote

from ensemake.config.container import Container

HEAD = """\
#!/usr/bin/env bash
# {title}
# Written by ensemake. `bash run.sh` does what the workflow does, wherever it is started from.

_ensemake_script=${{BASH_SOURCE[0]}}
[[ $_ensemake_script == /* ]] || _ensemake_script=$PWD/$_ensemake_script
"""

# Variables that bash changes, drops, refuses or acts upon. They are kept from this script and given
# to the program by `env`. Those that it changes for every program anyway (_, SHLVL, PWD) are so
# where the user sets them, not where they are inherited.
FOR_BASH = (
    *("BASH", "BASHOPTS", "BASHPID", "BASH_ALIASES", "BASH_ARGC", "BASH_ARGV", "BASH_ARGV0"),
    *("BASH_CMDS", "BASH_COMMAND", "BASH_COMPAT", "BASH_LINENO", "BASH_MONOSECONDS"),
    *("BASH_SOURCE", "BASH_SUBSHELL", "BASH_TRAPSIG", "BASH_VERSINFO", "BASH_VERSION"),
    *("BASH_XTRACEFD", "COMP_WORDBREAKS", "DIRSTACK", "EPOCHREALTIME", "EPOCHSECONDS", "EUID"),
    *("EXECIGNORE", "FUNCNAME", "FUNCNEST", "GROUPS", "HISTCMD", "IFS", "LINENO", "OPTERR"),
    *("OPTIND", "PIPESTATUS", "POSIXLY_CORRECT", "POSIX_PEDANTIC", "PPID", "PS1", "PS2", "PS4"),
    *("RANDOM", "SECONDS", "SHELLOPTS", "SRANDOM", "TMOUT", "UID", "_ensemake_[A-Za-z0-9_]*"),
)
IS_FOR_BASH = re.compile("|".join((*FOR_BASH, "_", "SHLVL", "PWD", "OLDPWD")))

# A batch has run its preamble before its members; it starts them with -p.
PREAMBLE = """\
if [[ $- != *p* ]]; then
  set -euo pipefail
  builtin cd -P -- "${{_ensemake_script%/*}}"/{top}
{lines}
fi
"""

# Only builtins on the way to the command: forks are what a short member costs.
# The lock is inherited by the command, so that one that outlives a killed run.sh still holds it.
# Who starts many members may take it for them, open as 9: the program flock is a fork as well.
# status.json is one line, written in one go where there is none: half of it, on a full disk, is no
# JSON and counts as none. One that is there is replaced by a rename. Files are made, never written
# into: a program may have put a link, also a hard one, in the place of any of them.
# Without job control `wait` does not see a command that is only suspended.
# Without -p, bash would let BASH_ENV, CDPATH, SHELLOPTS and exported functions take part; who
# starts many members says -p and spares the second start. What the environment was at the start is
# known on Linux alone.
MACHINERY = r"""
# ---- the same in every run.sh: nothing of the environment takes part in what follows ----

if [[ $- != *p* ]]; then
  POSIXLY_CORRECT=${POSIXLY_CORRECT-y} # from here on no function hides unset and exec
  unset -f mapfile printf
fi
_ensemake_own=$'\n('@NAMES@')='
_ensemake_given=() _ensemake_environ=()
[[ ! -r /proc/self/environ ]] ||
  mapfile -d '' -t _ensemake_environ </proc/self/environ 2>/dev/null || : # from bash 4.4 on
printf -v _ensemake_text '\n%s' ${_ensemake_environ[@]+"${_ensemake_environ[@]}"}
if [[ $_ensemake_text =~ $_ensemake_own ]]; then
  for _ensemake_text in "${_ensemake_environ[@]}"; do
    if [[ $'\n'${_ensemake_text%%=*}= =~ ^$_ensemake_own$ ]]; then
      _ensemake_given+=("$_ensemake_text")
    fi
  done
  unset -v BASH_COMPAT EXECIGNORE FUNCNEST TMOUT
fi
if [[ $- != *p* ]]; then
  exec ${_ensemake_given[@]+/usr/bin/env "${_ensemake_given[@]}"} "$BASH" -p "$_ensemake_script"
fi
set +o posix
set -euo pipefail
cd -- "${_ensemake_script%/*}"

# ---- one run at a time, its outcome in status.json ----

_ensemake_say() { printf 'ensemake: %s: %s\n' "$PWD" "$*" >&2; }

_ensemake_clock() { # set now (microseconds) and date
  _ensemake_now=${EPOCHREALTIME:-$(date +%s).000000}
  _ensemake_now=${_ensemake_now/[.,]/}
  if ((BASH_VERSINFO[0] >= 5)); then
    printf -v _ensemake_date '%(%Y-%m-%dT%H:%M:%S%z)T' -1
  else
    _ensemake_date=$(date +%Y-%m-%dT%H:%M:%S%z)
  fi
}

_ensemake_missing() { # succeed if a declared output is not there, and name it
  local file
  for file in ${_ensemake_outputs[@]+"${_ensemake_outputs[@]}"}; do
    [ -e "$file" ] || compgen -G "$file" >/dev/null || { _ensemake_absent=$file; return 0; }
  done
  return 1
}

_ensemake_completed() {
  local text=
  [ -f status.json ] && read -r text <status.json || :
  [[ $text == *'"status": "completed"'*"\"digest\": \"$_ensemake_digest\""*'}' ]] &&
    ! _ensemake_missing
}

_ensemake_record() { # status, exit code, reason
  _ensemake_clock
  local ms=$(((_ensemake_now - _ensemake_began) / 1000)) reason=${3//\\/\\\\}
  local file=status.json elapsed text
  printf -v elapsed '%d.%03d' $((ms / 1000)) $((ms % 1000))
  printf -v text '{"status": "%s", "exit_code": %d, "digest": "%s", "host": "%s", ' \
    "$1" "$2" "$_ensemake_digest" "$_ensemake_host"
  printf -v text '%s"started": "%s", "elapsed_s": %s, "attempt": %d, "reason": "%s", "run": "%s"}' \
    "$text" "$_ensemake_started" "$elapsed" "$_ensemake_attempt" "${reason//\"/\\\"}" \
    "${ENSEMAKE_RUN-}"
  if [[ -e status.json || -L status.json ]]; then
    printf -v file '.ensemake-%04x%04x%04x.tmp' $RANDOM $RANDOM $RANDOM # a name nobody knows
  fi
  set -C # create the file, do not follow a link
  printf '%s\n' "$text" >$file
  set +C
  [ $file = status.json ] || mv -fT $file status.json
}

_ensemake_fail() { # status, exit code, reason
  _ensemake_say "$1: $3; see run.err"
  _ensemake_record "$@"
  [ -z "$_ensemake_carry_on" ] || exit 0 # others wait for the end, whatever it is
  exit $(($2 ? $2 : 1))
}

_ensemake_manager() { # set why: what Slurm says of a job that it ends
  local text= job=${SLURM_JOB_ID:-}
  [ -z "${SLURM_ARRAY_TASK_ID:-}" ] || job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
  _ensemake_why=
  [ -z "$job" ] || text=$(PATH=$_ensemake_path; scontrol -o show job "$job" 2>/dev/null) || :
  if [[ $text =~ \ Reason=([A-Za-z]+) && ${BASH_REMATCH[1]} != None ]]; then
    _ensemake_why=${BASH_REMATCH[1]}
  elif [[ $text =~ \ JobState=([A-Z_]+) && ${BASH_REMATCH[1]} != @(RUNNING|COMPLETING) ]]; then
    _ensemake_why=${BASH_REMATCH[1]}
  fi
}

_ensemake_cancelled() { # exit code, reason; Slurm is asked later, it may take longer than we have
  _ensemake_record cancelled "$@"
  _ensemake_manager
  _ensemake_fail cancelled "$1" "$2${_ensemake_why:+ (Slurm: $_ensemake_why)}"
}

_ensemake_stop() { # the signal goes to the command and all it started; wait below sees them end
  _ensemake_signal=$1
  [ -n "$_ensemake_child" ] || return 0
  kill -TERM -- "-$_ensemake_child" 2>/dev/null || :
  kill -CONT -- "-$_ensemake_child" 2>/dev/null || : # one that is suspended would not hear it
  [ -z "$_ensemake_killer" ] || return 0
  set -m
  { sleep "${ENSEMAKE_GRACE:-20}"; kill -KILL -- "-$_ensemake_child"; } \
    </dev/null >/dev/null 2>&1 9>&- &
  _ensemake_killer=$!
  set +m
}

_ensemake_host=${HOSTNAME:-?}
[ ! -r /proc/sys/kernel/hostname ] || read -r _ensemake_host </proc/sys/kernel/hostname || :
_ensemake_path=${PATH-}
PATH=/usr/bin:/bin:/usr/sbin:/sbin${PATH:+:$PATH} # ours; the program has the one it was given

[ ! -L .lock ] || rm .lock
if ! [[ ${ENSEMAKE_LOCKED-} && /dev/fd/9 -ef .lock ]]; then
  exec 9>>.lock
  if command -v flock >/dev/null && ! flock -n 9; then
    _ensemake_say "is being run already; waiting for that to end"
    flock 9 || _ensemake_say "this file system has no locks; going on without"
  fi
fi
_ensemake_carry_on=${ENSEMAKE_CARRY_ON-}
unset -v ENSEMAKE_LOCKED ENSEMAKE_CARRY_ON # not for a run.sh that the command may start
if _ensemake_completed; then
  _ensemake_say "completed already, nothing to do"
  exit 0
fi
@NEEDS@
_ensemake_last= _ensemake_attempt=0
read -r _ensemake_last _ensemake_attempt _ <.lock || :
if [ -n "$_ensemake_last" ] && [ "$_ensemake_last" != "$_ensemake_digest" ]; then
  _ensemake_say "holds what another recipe left; the target generate puts that into previous/"
  exit 1
fi
_ensemake_attempt=$((_ensemake_attempt + 1))
_ensemake_clock
_ensemake_began=$_ensemake_now _ensemake_started=$_ensemake_date
_ensemake_old=() # the last attempt's; what the program made links of leads out of here
for _ensemake_text in status.json run.out run.err; do
  [[ ! -e $_ensemake_text && ! -L $_ensemake_text ]] || _ensemake_old+=("$_ensemake_text")
done
((${#_ensemake_old[@]} == 0)) || rm -f "${_ensemake_old[@]}"
printf '%s %d %s %d %s %s\n' "$_ensemake_digest" "$_ensemake_attempt" "$_ensemake_host" $$ \
  "$_ensemake_started" "${SLURM_JOB_ID-${PBS_JOBID-}}" >.lock

for _ensemake_text in ${_ensemake_wanted[@]+"${_ensemake_wanted[@]}"}; do
  [ -n "${!_ensemake_text+x}" ] || {
    printf 'ensemake: the environment has no %s\n' "$_ensemake_text" >run.err
    _ensemake_fail failed 0 "the environment has no $_ensemake_text (env_vars: from_env)"
  }
done

@TAKE@_ensemake_signal= _ensemake_child= _ensemake_killer=
trap '_ensemake_stop TERM' TERM
trap '_ensemake_stop INT' INT
trap '_ensemake_stop HUP' HUP
set -m # a process group of its own, so that stop reaches all of it
_ensemake_start </dev/null >run.out 2>run.err &
_ensemake_child=$!
set +m
[ -z "$_ensemake_signal" ] || _ensemake_stop "$_ensemake_signal"
_ensemake_code=0
wait "$_ensemake_child" || _ensemake_code=$?
while [ -n "$_ensemake_signal" ] && kill -0 "$_ensemake_child" 2>/dev/null; do
  _ensemake_code=0
  wait "$_ensemake_child" || _ensemake_code=$?
done
if [ -n "$_ensemake_killer" ] && ! kill -0 -- "-$_ensemake_child" 2>/dev/null; then
  kill -KILL -- "-$_ensemake_killer" 2>/dev/null || :
fi

if [ -n "$_ensemake_signal" ]; then
  _ensemake_cancelled $((_ensemake_code ? _ensemake_code : 143)) "stopped by SIG$_ensemake_signal"
elif ((_ensemake_code == 143 || _ensemake_code == 130)); then # it reached the command before us
  _ensemake_cancelled $_ensemake_code "stopped by SIG$(kill -l $((_ensemake_code - 128)))"
elif ((_ensemake_code > 128)) &&
  _ensemake_name=$(kill -l $((_ensemake_code - 128)) 2>/dev/null); then
  _ensemake_fail failed $_ensemake_code "killed by SIG$_ensemake_name"
elif ((_ensemake_code)); then
  _ensemake_fail failed $_ensemake_code "exit code $_ensemake_code"
elif _ensemake_missing; then
  _ensemake_fail failed 0 "left no output $_ensemake_absent"
fi
_ensemake_record completed 0 ""
"""

# In the process that becomes the program: nothing of it is seen by this script.
START = """\
_ensemake_start() {{
  PATH=$_ensemake_path
{lines}
  exec ${{_ensemake_given[@]+/usr/bin/env "${{_ensemake_given[@]}}"}} \\
    ${{_ensemake_launch[@]+"${{_ensemake_launch[@]}}"}} {command}
}}
"""


FURTHER = ' "${_ensemake_further[@]}"'


@dataclass(frozen=True)
class RunScript:
    """All that a member's run.sh is made of."""

    title: str
    digest: str
    command: Sequence[str]
    launch: Sequence[str] = ("_ensemake_launch=()",)
    environment: Mapping[str, str] = field(default_factory=dict)
    passed: Mapping[str, str] = field(default_factory=dict)  # name: its name in the shell
    outputs: Sequence[str] = ()
    container: Container | None = None
    several: bool = False  # the launch lines set the words of further programs
    preamble: Sequence[str] = ()  # shell lines of a batch, for who runs it by hand
    inputs: Sequence[str] = ()  # lines that say what is taken from other members
    needs: str = ""  # run before an attempt is begun
    take: str = ""  # run as it begins
    top: str = "."  # the working directory, seen from the member's


def run_script(run: RunScript) -> str:
    """Return the text of run.sh; every word of the user's stands quoted.

    Raises
    ------
    ValueError
        If a word or a variable holds a NUL, which no program can be given.
    """
    further = FURTHER if run.several else ""
    inside = '"${_ensemake_container[@]}" ' if run.container else ""
    lines = [
        *_variables(
            {name: quote(value) for name, value in run.environment.items()}
            | {name: f'"${{{source}-}}"' for name, source in run.passed.items()}
        ),
        *run.launch,
        *(_contained(run.container) if run.container else []),
    ]
    command = f"{inside}{quoted_words(run.command)}{further}"
    text = (
        HEAD.format(title=" ".join(run.title.split()))
        + _preamble(run)
        + f"_ensemake_digest={quote(run.digest)}\n"
        + f"_ensemake_outputs=({quoted_words(run.outputs)})\n"
        + f"_ensemake_wanted=({quoted_words(list(run.passed.values()))})\n"
        + "".join(f"{line}\n" for line in run.inputs)
        + START.format(lines="\n".join(lines), command=command)
        + MACHINERY.replace("@NAMES@", quote("|".join(FOR_BASH)))
        .replace("@NEEDS@", run.needs)
        .replace("@TAKE@", run.take)
    )
    if "\0" in text:
        raise ValueError("a NUL character in an argument or a variable; no program can be given it")
    return text


def digest_in(text: str) -> str | None:
    """Return the digest that a run.sh was written for, also by an older version."""
    found = re.search(r"^(?:_ensemake_)?digest=(\S+)$", text, re.MULTILINE)
    return found[1] if found else None


def quoted_words(texts: Sequence[str]) -> str:
    """Return texts as words of bash, each quoted."""
    return " ".join(quote(text) for text in texts)


def _variables(environment: Mapping[str, str]) -> list[str]:
    pairs = [(f"{name}={value}", name) for name, value in environment.items()]
    given = [pair for pair, name in pairs if IS_FOR_BASH.fullmatch(name)]
    return [
        *(f"export {pair}" for pair, name in pairs if not IS_FOR_BASH.fullmatch(name)),
        *([f"_ensemake_given+=({' '.join(given)})"] if given else []),
    ]


def _preamble(run: RunScript) -> str:
    if not run.preamble:
        return ""
    return PREAMBLE.format(top=quote(run.top), lines="\n".join(run.preamble))


def _contained(container: Container) -> list[str]:
    binds = [word for bind in container.bind for word in ("--bind", bind)]
    inside = quote(container.working_directory) if container.working_directory else '"$PWD"'
    return [
        "_ensemake_container=$(command -v apptainer || command -v singularity) || {",
        "  echo 'ensemake: the container wants apptainer or singularity on PATH' >&2",
        "  exit 127",
        "}",
        f'_ensemake_container=("$_ensemake_container" exec --pwd {inside} --bind "$PWD" '
        f"{quoted_words([*binds, *container.args, container.image])})",
    ]
