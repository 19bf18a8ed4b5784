# Starting and stopping the registry under test: read by tests/e2e/run.sh, by
# tests/conformance/run.sh and by tests/scale/run.sh. Everything listens on loopback
# only.
#
# Set before this file is read:  WORK   a temporary directory of the caller's
# Set by this file:              PORT   the port the registry listens on
#                                ROOT   its storage root
#                                SERVERS     the process id of each registry that runs, by port
#                                SERVER_LOG  unless the caller has set it

# REGISTRY may name another build of the program, for instance a debug build.
REGISTRY=${REGISTRY:-${CARGO_TARGET_DIR:-target}/release/registry}
ROOT=$WORK/root
SERVER_LOG=${SERVER_LOG:-$WORK/registry.log}
declare -A SERVERS=()

# A port nobody listens on. Taken from below the range that the kernel gives to
# outgoing connections (32768 and up), so that no client of ours sits on it when
# the server is started again on the same port after a crash.
free_port() {
  local port tries=0
  while [ "$tries" -lt 100 ]; do
    port=$((20000 + RANDOM % 10000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return 0
    fi
    tries=$((tries + 1))
  done
  echo "no free port between 20000 and 29999 after $tries tries" >&2
  return 1
}

# Starts the registry on PORT and ROOT (both stay as they are on a restart) and
# returns when it answers.
start_server() {
  PORT=${PORT:-$(free_port)} || return 1
  start_server_on "$PORT"
}

# start_server_on <port> [<flag>...]: one more registry on ROOT; returns when it answers.
# The log of all is appended to SERVER_LOG.
start_server_on() {
  local port=$1 pid
  shift
  if [ ! -x "$REGISTRY" ]; then
    echo "no program at $REGISTRY: run \`make build\` first" >&2
    return 1
  fi
  "$REGISTRY" serve --listen "127.0.0.1:$port" --root "$ROOT" "$@" >>"$SERVER_LOG" 2>&1 &
  pid=$!
  SERVERS[$port]=$pid
  local deadline=$((SECONDS + 10))
  # 401 is an answer too: where there are users, it is for them alone.
  until curl -sS -o "$WORK/ready.out" -w '%{http_code}' "http://127.0.0.1:$port/v2/" 2>"$WORK/ready.err" |
    grep -qE '^(200|401)$'; do
    if ! kill -0 "$pid" 2>/dev/null; then
      echo "the registry ended while it started:" >&2
      tail -20 "$SERVER_LOG" >&2
      return 1
    fi
    if [ "$SECONDS" -ge "$deadline" ]; then
      echo "the registry does not answer GET /v2/ after 10 s:" >&2
      cat "$WORK/ready.err" >&2
      tail -20 "$SERVER_LOG" >&2
      return 1
    fi
    sleep 0.05
  done
}

# end_process <pid> <seconds>: SIGTERM to a child of ours, SIGKILL to one that does not
# listen. Passes on its exit status.
end_process() {
  local deadline=$((SECONDS + $2)) status=0
  kill -TERM "$1" 2>/dev/null || true
  while kill -0 "$1" 2>/dev/null; do
    [ "$SECONDS" -lt "$deadline" ] || kill -KILL "$1" 2>/dev/null || true
    sleep 0.05
  done
  wait "$1" 2>/dev/null || status=$?
  return "$status"
}

# Ends the registry the way an operator does. 0 is what it must exit with; it may take
# 10 s for requests in flight.
stop_server() { stop_server_on "${PORT:-none}"; }

stop_server_on() {
  local pid=${SERVERS[$1]:-}
  [ -n "$pid" ] || return 0
  unset "SERVERS[$1]"
  end_process "$pid" 15
}

# All that run, for those who tidy up.
stop_servers() {
  local port status=0
  for port in "${!SERVERS[@]}"; do
    stop_server_on "$port" || status=$?
  done
  return "$status"
}

# The crash: no handler runs, nothing is flushed.
kill_server() { kill_server_on "$PORT"; }

kill_server_on() {
  local pid=${SERVERS[$1]}
  unset "SERVERS[$1]"
  kill -KILL "$pid"
  # The shell reports "Killed" when it collects the process; that is no news here.
  wait "$pid" 2>/dev/null || true
}

# The promise the store is built on, checked with nothing but coreutils: each file
# under blobs/sha256 and blobs/sha512 holds the bytes its name says. A file with
# another kind of name (a temporary one that was left) is a fault too.
# Prints how many files there were.
check_blobs() {
  local algorithm directory count=0
  for algorithm in sha256 sha512; do
    directory=$ROOT/blobs/$algorithm
    [ -d "$directory" ] || continue
    # The sum programs read "<hash>  <file>" lines; here a file's name is its hash.
    (cd "$directory" && find . -type f -printf '%f  %f\n') >"$WORK/blobs.sums"
    [ -s "$WORK/blobs.sums" ] || continue
    (cd "$directory" && "${algorithm}sum" --check --strict --quiet "$WORK/blobs.sums") || return 1
    count=$((count + $(wc -l <"$WORK/blobs.sums")))
  done
  echo "$count"
}
