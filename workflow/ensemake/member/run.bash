
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
# @PREAMBLE@
if [[ $- != *p* ]]; then
  exec ${_ensemake_given[@]+/usr/bin/env "${_ensemake_given[@]}"} "$BASH" -p "$_ensemake_script"
fi
set +o posix
set -euo pipefail
cd -- "${_ensemake_script%/*}"

# ---- words ----

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

_ensemake_temporary() { # set file: a new name, none that anybody can know before
  printf -v _ensemake_file '.ensemake-%04x%04x%04x.tmp' $RANDOM $RANDOM $RANDOM
}

# @several|restart
_ensemake_head() { # a line above what the next command prints, in both files
  printf '==> %s\n' "$*" >&7
  printf '==> %s\n' "$*" >&8
}

# @end
# ---- how it ended: status.json ----

_ensemake_missing() { # succeed if a declared output is not there, and name it
  local file
  for file in ${_ensemake_outputs[@]+"${_ensemake_outputs[@]}"}; do
    [ -e "$file" ] || compgen -G "$file" >/dev/null || { _ensemake_absent=$file; return 0; }
  done
  return 1
}

# @checks
_ensemake_unchecked() { # succeed if a file does not hold what it must, and say so
  local n
  for ((n = 0; n < ${#_ensemake_checks[@]}; n += 2)); do
    if ! LC_ALL=C grep -qaP -e "${_ensemake_checks[n + 1]}" -- "${_ensemake_checks[n]}" 2>&8; then
      _ensemake_reason="${_ensemake_checks[n]} has no '${_ensemake_checks[n + 1]}'"
      return 0
    fi
  done
  return 1
}

# @end
_ensemake_completed() {
  local text=
  [ -f status.json ] && read -r text <status.json || :
  [[ $text == *'"status": "completed"'*"\"digest\": \"$_ensemake_digest\""*'}' ]] &&
    ! _ensemake_missing
}

_ensemake_record() { # status, exit code, reason
  _ensemake_clock
  local ms=$(((_ensemake_now - _ensemake_began) / 1000)) reason=${3//\\/\\\\}
  local elapsed text
  reason=${reason//[[:cntrl:]]/ }
  printf -v elapsed '%d.%03d' $((ms / 1000)) $((ms % 1000))
  printf -v text '{"status": "%s", "exit_code": %d, "digest": "%s", "host": "%s", ' \
    "$1" "$2" "$_ensemake_digest" "$_ensemake_host"
  printf -v text '%s"started": "%s", "elapsed_s": %s, "attempt": %d, "reason": "%s", "run": "%s"}' \
    "$text" "$_ensemake_started" "$elapsed" "$_ensemake_attempt" "${reason//\"/\\\"}" \
    "${ENSEMAKE_RUN-}"
  _ensemake_file=status.json
  [[ ! -e status.json && ! -L status.json ]] || _ensemake_temporary
  set -C # create the file, do not follow a link
  printf '%s\n' "$text" >$_ensemake_file
  set +C
  [ $_ensemake_file = status.json ] || mv -fT $_ensemake_file status.json
}

_ensemake_fail() { # status, exit code, reason
  _ensemake_say "$1: $3; see run.err"
  _ensemake_record "$@"
  _ensemake_exit $2
}

_ensemake_exit() { # exit code of the command
  [ -z "$_ensemake_carry_on" ] || exit 0 # others wait for the end, whatever it is
  exit $(($1 ? $1 : 1))
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

# ---- one command: started, stopped, judged ----

_ensemake_start() { # number; in the process that becomes the program
# @restart
  export ENSEMAKE_ATTEMPT=$_ensemake_attempt
# @end
  PATH=$_ensemake_path
# @preamble
  # a bash like any other runs it, then the command
  exec ${_ensemake_given[@]+/usr/bin/env "${_ensemake_given[@]}"} \
    ${_ensemake_timeout[@]+"${_ensemake_timeout[@]}"} \
    "$BASH" "$_ensemake_script" _ensemake_prepare "_ensemake_$_ensemake_kind$1"
# @end
  "_ensemake_$_ensemake_kind$1"
}

_ensemake_stop() { # the signal goes to the command and all it started; wait below sees them end
  _ensemake_signal=$1
  [ -n "$_ensemake_child" ] || return 0
  kill -TERM -- "-$_ensemake_child" 2>/dev/null || :
  kill -CONT -- "-$_ensemake_child" 2>/dev/null || : # one that is suspended would not hear it
  [ -z "$_ensemake_killer" ] || return 0
  set -m
  { sleep "${ENSEMAKE_GRACE:-20}"; kill -KILL -- "-$_ensemake_child"; } \
    </dev/null >/dev/null 2>&1 7>&- 8>&- 9>&- &
  _ensemake_killer=$!
  set +m
}

_ensemake_limits() { # set timeout: the words before the command that end it in time
  _ensemake_timeout=()
  [ -n "$_ensemake_limit" ] || return 0
  _ensemake_clock
  local left=$((_ensemake_limit * 1000 - (_ensemake_now - _ensemake_began) / 1000)) program
  program=$(command -v timeout) || return 0
  ((left > 0)) || left=1
  printf -v left '%d.%03d' $((left / 1000)) $((left % 1000))
  _ensemake_timeout=("$program" -k "${ENSEMAKE_GRACE:-20}" "$left")
}

_ensemake_run() { # number; set code
  _ensemake_limits
  set -m # a process group of its own, so that stop reaches all of it
  _ensemake_start "$1" </dev/null >&7 2>&8 7>&- 8>&- &
  _ensemake_child=$!
  set +m
  [ -z "$_ensemake_signal" ] || _ensemake_stop "$_ensemake_signal"
  _ensemake_code=0
  wait "$_ensemake_child" || _ensemake_code=$?
# @store
  while ((_ensemake_code == 140)) && kill -0 "$_ensemake_child" 2>/dev/null; do # USR2 was for us
    _ensemake_code=0
    wait "$_ensemake_child" || _ensemake_code=$?
  done
# @end
  while [ -n "$_ensemake_signal" ] && kill -0 "$_ensemake_child" 2>/dev/null; do
    _ensemake_code=0
    wait "$_ensemake_child" || _ensemake_code=$?
  done
  if [ -n "$_ensemake_killer" ] && ! kill -0 -- "-$_ensemake_child" 2>/dev/null; then
    kill -KILL -- "-$_ensemake_killer" 2>/dev/null || :
  fi
  _ensemake_child=
}

_ensemake_is_over() { # succeed if the command ended because its time was over
  [ ${#_ensemake_timeout[@]} != 0 ] && ((_ensemake_code == 124 || _ensemake_code == 137)) || return 1
  _ensemake_clock
  ((_ensemake_now - _ensemake_began >= _ensemake_limit * 1000000))
}

_ensemake_judge() { # set verdict (empty: go on) and reason of a command that ended with code
  local name line
  _ensemake_verdict= _ensemake_reason=
  if [ -n "$_ensemake_signal" ]; then
    _ensemake_code=$((_ensemake_code ? _ensemake_code : 143))
    _ensemake_verdict=cancelled _ensemake_reason="stopped by SIG$_ensemake_signal"
  elif _ensemake_is_over; then
    _ensemake_code=$((_ensemake_code == 124 ? 143 : _ensemake_code))
    _ensemake_verdict=cancelled _ensemake_reason="time limit of $_ensemake_limit s"
    ((_ensemake_limit % 60)) || _ensemake_reason="time limit of $((_ensemake_limit / 60)) min"
# @preamble
  elif [ -f .preamble ]; then # which line it was
    read -r line <.preamble || :
    rm -f .preamble
    _ensemake_verdict=failed _ensemake_reason="preamble: $line: exit code $_ensemake_code"
# @end
  elif [[ $_ensemake_success == *" $_ensemake_code "* ]]; then
    :
  elif ((_ensemake_code == 143 || _ensemake_code == 130)); then # it reached the command before us
    _ensemake_verdict=cancelled
    _ensemake_reason="stopped by SIG$(kill -l $((_ensemake_code - 128)))"
  elif ((_ensemake_code > 128)) && name=$(kill -l $((_ensemake_code - 128)) 2>/dev/null); then
    _ensemake_verdict=failed _ensemake_reason="killed by SIG$name"
  else
    _ensemake_verdict=failed _ensemake_reason="exit code $_ensemake_code"
  fi
# @several
  if [[ $_ensemake_verdict && $_ensemake_reason != preamble:* ]]; then
    name=${_ensemake_names[$1 - 1]}
    _ensemake_reason="step $1 of ${#_ensemake_chain[@]} ($name): $_ensemake_reason"
  fi
# @end
# @store
  _ensemake_store_lives || _ensemake_verdict=failed _ensemake_reason="its store: $_ensemake_lost"
# @end
}

# @several
# ---- what each command of several left, in .step-<number> ----

_ensemake_listing() { # type, size, time, name and target of all that is there and not ours
  local name ours=(-path './.step-*' -o -path './.ensemake-????????????.tmp')
  for name in @OURS@ ${_ensemake_beside[@]+"${_ensemake_beside[@]}"}; do
    ours+=(-o -path "./$name")
  done
  LC_ALL=C find . -mindepth 1 \( "${ours[@]}" \) -prune -o -type d -printf 'd 0 0 %P//\0' \
    -o -printf '%y %s %T@ %P//%l\0' | LC_ALL=C sort -z
}

_ensemake_keep() { # number
  local sizes
  _ensemake_temporary
  sizes=$(stat -c %s run.out run.err) || return 0
  printf '%s %s\0' "${_ensemake_chain[$1 - 1]}" "${sizes//$'\n'/ }" >"$_ensemake_file"
  if _ensemake_listing >>"$_ensemake_file"; then
    mv -fT "$_ensemake_file" ".step-$1"
  else
    rm -f "$_ensemake_file"
  fi
}

_ensemake_is_kept() { # number: succeed if all that the commands up to there left is as it was
  local head= gone
  [[ -f .step-$1 && ! -L .step-$1 ]] || return 1
  IFS= read -r -d '' head <".step-$1" || return 1
  [[ $head == "${_ensemake_chain[$1 - 1]} "* ]] || return 1
  gone=$(LC_ALL=C comm -z -23 <(tail -z -n +2 ".step-$1") <(_ensemake_listing) | tr '\0' '\n') ||
    return 1
  _ensemake_sizes=(${head#* })
  [ -z "$gone" ] && ((_ensemake_sizes[0] <= $(stat -c %s run.out) &&
    _ensemake_sizes[1] <= $(stat -c %s run.err)))
}

# @end
# @several|restart
_ensemake_shorten() { # file, bytes: in a file of our own, a program may have made a link of it
  _ensemake_temporary
  set -C
  head -c "$2" "$1" >"$_ensemake_file"
  set +C
  mv -fT "$_ensemake_file" "$1"
}

# @end
# @restart
# ---- going on after a stop, where the config says how ----

_ensemake_stops='killed by SIG(KILL|TERM|INT|HUP|XCPU|USR1|USR2)'

_ensemake_was_stopped() { # succeed if a limit, a signal or its node's end ended the last attempt
  local text=
  ((_ensemake_attempt)) || return 1
  [ -f status.json ] && read -r text <status.json || :
  [[ -z $text || $text == *'"status": "'@(cancelled|killed)'"'* || $text =~ $_ensemake_stops ]]
}

_ensemake_has_left() { # number: succeed if this command has left a file to go on from
  local file entry before=.step-$(($1 - 1))
  while IFS= read -r file; do
    [ -e "$file" ] || continue
    [ -e "$before" ] || return 0
    entry=$(find "$file" -maxdepth 0 -printf '%y %s %T@ %p//%l')
    grep -qzxF -e "$entry" "$before" || return 0
  done < <(printf '%s\n' "$_ensemake_state"; compgen -G "$_ensemake_state")
  return 1
}

_ensemake_goes_on() { # succeed if the command that has just ended goes on with a further attempt
  [ -n "$_ensemake_state" ] && [ -z "$_ensemake_signal" ] || return 1
  [[ $_ensemake_verdict == cancelled || $_ensemake_reason =~ $_ensemake_stops ]] &&
    ((_ensemake_restarts < _ensemake_times)) && _ensemake_has_left $_ensemake_step || return 1
  _ensemake_say "$_ensemake_reason; goes on from $_ensemake_state"
  _ensemake_kind=restart_ _ensemake_restarts=$((_ensemake_restarts + 1))
  _ensemake_begin
}

# @end
_ensemake_begin() { # a further attempt
  _ensemake_attempt=$((_ensemake_attempt + 1))
  _ensemake_clock
  _ensemake_began=$_ensemake_now _ensemake_started=$_ensemake_date
  printf '%s %d %s %d %s %s %s %d\n' "$_ensemake_digest" "$_ensemake_attempt" "$_ensemake_host" $$ \
    "$_ensemake_started" "${SLURM_JOB_ID:-${PBS_JOBID:-$$}}" "${ENSEMAKE_RUN:--}" \
    "$_ensemake_restarts" >.lock
}

# ---- one run at a time ----

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
[[ ! ${ENSEMAKE_RUNTIME-} =~ ^[1-9][0-9]*$ ]] || # minutes, as a site set them; none below one
  _ensemake_limit=$((ENSEMAKE_RUNTIME * 60))
_ensemake_carry_on=${ENSEMAKE_CARRY_ON-}
unset -v ENSEMAKE_LOCKED ENSEMAKE_RUNTIME ENSEMAKE_CARRY_ON # not for a run.sh that the command may start
if _ensemake_completed; then
  _ensemake_say "completed already, nothing to do"
  exit 0
fi

# @NEEDS@
# ---- where to begin ----

_ensemake_last= _ensemake_attempt=0 _ensemake_of= _ensemake_restarts=0
read -r _ensemake_last _ensemake_attempt _ _ _ _ _ensemake_of _ensemake_restarts <.lock || :
if [ -n "$_ensemake_last" ] && [ "$_ensemake_last" != "$_ensemake_digest" ]; then
  _ensemake_say "holds what another recipe left; the target generate puts that into previous/"
  exit 1
fi
_ensemake_step=1 _ensemake_kind=step_ _ensemake_sizes=()
# @several
for ((_ensemake_number = ${#_ensemake_chain[@]}; _ensemake_number; _ensemake_number--)); do
  if ((_ensemake_step == 1)) && _ensemake_is_kept $_ensemake_number; then
    _ensemake_step=$((_ensemake_number + 1))
  fi
done
# @end
# @restart
_ensemake_is_same=0 # whether this run of the workflow has run it before
[[ ${ENSEMAKE_RUN-} && $_ensemake_of == "$ENSEMAKE_RUN" ]] && _ensemake_is_same=1 ||
  _ensemake_restarts=0
if _ensemake_was_stopped && [ ! -e .step-$_ensemake_step ] && _ensemake_has_left $_ensemake_step; then
  _ensemake_kind=restart_
fi
if ((_ensemake_is_same)); then
  if [ $_ensemake_kind = step_ ] || ((_ensemake_restarts >= _ensemake_times)); then
    _ensemake_say "has ended in this run; the next run goes on with it"
    _ensemake_exit 1
  fi
  _ensemake_restarts=$((_ensemake_restarts + 1))
fi
# @end

_ensemake_old=(status.json run.out run.err) # the last attempt's
# @several|restart
if [ $_ensemake_kind = restart_ ]; then
  _ensemake_sizes=($(stat -c %s run.out run.err)) || _ensemake_sizes=()
fi
if ((${#_ensemake_sizes[@]} == 2)); then # what was printed before stays
  _ensemake_shorten run.out "${_ensemake_sizes[0]}"
  _ensemake_shorten run.err "${_ensemake_sizes[1]}"
  _ensemake_old=(status.json)
fi
for ((_ensemake_number = _ensemake_step; _ensemake_number <= ${#_ensemake_chain[@]}; \
  _ensemake_number++)); do
  [ ! -e .step-$_ensemake_number ] || _ensemake_old+=(.step-$_ensemake_number)
done
# @end
for _ensemake_text in "${_ensemake_old[@]}"; do # what the program made links of leads out of here
  if [[ -e $_ensemake_text || -L $_ensemake_text ]]; then
    rm -f "${_ensemake_old[@]}"
    break
  fi
done
_ensemake_begin
if ((${#_ensemake_sizes[@]})); then
  exec 7>>run.out 8>>run.err
else
  exec 7>run.out 8>run.err
fi

# @environment
for _ensemake_text in "${_ensemake_wanted[@]}"; do
  [ -n "${!_ensemake_text+x}" ] || {
    printf 'ensemake: the environment has no %s\n' "$_ensemake_text" >&8
    _ensemake_fail failed 0 "the environment has no $_ensemake_text (env_vars: from_env)"
  }
done

# @end
# @TAKE@
# @store
# ---- a store of its own: a process beside this one keeps it, and ends it when this one ends ----

_ensemake_lost= _ensemake_folder=/tmp
[ ! -w /dev/shm ] || _ensemake_folder=/dev/shm
_ensemake_temporary
_ensemake_file=${_ensemake_file#.} _ensemake_folder+=/${_ensemake_file%.tmp}

_ensemake_keep() { :; } # a store that starts empty wants all commands

_ensemake_watch() { # tell when it ends, also if it is killed; 3 says that it has told why
  local code=0
  trap '' TERM INT HUP
  cd /
  PATH=$_ensemake_path "${_ensemake_keeper[@]}" "$_ensemake_folder" $_ensemake_spread || code=$?
  ((code)) || return 0
  if ((code == 137)); then
    echo 'failed its keeper was killed'
    rm -rf "$_ensemake_folder"
  elif ((code != 3)); then
    echo "failed its keeper ended with $code, see run.err"
  fi
  kill -USR2 $$ || :
  while read -r _; do echo failed; done # until nobody asks any more
}

_ensemake_hear() { # set what and told
  _ensemake_what=failed _ensemake_told=
  [ -z "${_ensemake_store[0]-}" ] ||
    read -r _ensemake_what _ensemake_told <&"${_ensemake_store[0]}" || :
  [[ $_ensemake_what != failed || $_ensemake_lost ]] ||
    _ensemake_lost=${_ensemake_told:-its keeper was killed}
}

_ensemake_store_lives() {
  if [ -z "$_ensemake_lost" ]; then
    [ -z "${_ensemake_store[1]-}" ] || echo >&"${_ensemake_store[1]}"
    _ensemake_hear
  fi
  [ -z "$_ensemake_lost" ]
}

_ensemake_store_close() {
  [ -n "${_ensemake_store[1]-}" ] || return 0
  exec {_ensemake_store[1]}>&-
  wait "$_ensemake_watcher" || :
}

_ensemake_is_spread() { # succeed if a member that may have several nodes does
  local nodes=${SLURM_JOB_NUM_NODES:-1}
  if [ -n "${ENSEMAKE_NODELIST-}" ]; then # in a batch: its part
    [[ $ENSEMAKE_NODELIST == *,* ]] && return
  elif [ -r "${PBS_NODEFILE-}" ]; then
    nodes=$(sort -u "$PBS_NODEFILE" | wc -l)
  fi
  ((nodes > 1))
}

_ensemake_store_open() {
  _ensemake_spread=
  if ((${#_ensemake_voucher[@]})) && _ensemake_is_spread; then
    _ensemake_spread=spread _ensemake_vouched=("${_ensemake_voucher[@]}")
  fi
  trap : USR2 # it is heard
  trap _ensemake_store_close EXIT
  set -m # not of our process group, which may be killed as a whole
  coproc _ensemake_store { _ensemake_watch; } 2>&8 7>&- 8>&- 9>&-
  _ensemake_watcher=$!
  set +m
  _ensemake_hear
  while [ $_ensemake_what = set ]; do
    export "${_ensemake_told%% *}=${_ensemake_told#* }"
    _ensemake_hear
  done
  trap '_ensemake_store_lives || _ensemake_stop USR2' USR2
  _ensemake_store_lives || _ensemake_fail failed 0 "its store: $_ensemake_lost"
}

for _ensemake_text in "${_ensemake_threads[@]:2}"; do # not on the CPUs of the store
  [ "${!_ensemake_text-}" != "${_ensemake_threads[0]}" ] ||
    export "$_ensemake_text=${_ensemake_threads[1]}"
done

# @end
# ---- one command after another ----

_ensemake_signal= _ensemake_child= _ensemake_killer= _ensemake_code=0
trap '_ensemake_stop TERM' TERM
trap '_ensemake_stop INT' INT
trap '_ensemake_stop HUP' HUP
# @store
_ensemake_store_open
# @end
while ((_ensemake_step <= ${#_ensemake_chain[@]})); do
# @several|restart
  if [ $_ensemake_kind = restart_ ]; then
    _ensemake_head "attempt $_ensemake_attempt: ${_ensemake_names[_ensemake_step - 1]}"
  elif ((${#_ensemake_chain[@]} > 1)); then
    _ensemake_head "step $_ensemake_step of ${#_ensemake_chain[@]}:" \
      "${_ensemake_names[_ensemake_step - 1]}"
  fi
# @end
  _ensemake_run $_ensemake_step
  _ensemake_judge $_ensemake_step
# @restart
  [ -z "$_ensemake_verdict" ] || ! _ensemake_goes_on || continue
# @end
  case $_ensemake_verdict in
    cancelled) _ensemake_cancelled $_ensemake_code "$_ensemake_reason" ;;
    failed) _ensemake_fail failed $_ensemake_code "$_ensemake_reason" ;;
  esac
# @several
  ((_ensemake_step == ${#_ensemake_chain[@]})) || _ensemake_keep $_ensemake_step
# @end
  _ensemake_step=$((_ensemake_step + 1)) _ensemake_kind=step_
done
if _ensemake_missing; then
  rm -f .step-* # whichever command should have left it
  _ensemake_fail failed 0 "left no output $_ensemake_absent"
# @checks
elif _ensemake_unchecked; then
  rm -f .step-*
  _ensemake_fail failed 0 "$_ensemake_reason"
# @end
fi
_ensemake_record completed $_ensemake_code ""
