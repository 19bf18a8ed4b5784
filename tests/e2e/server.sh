# Starting and stopping the registry under test: read by tests/e2e/run.sh and by
# tests/conformance/run.sh. Everything listens on loopback only.
#
# Set before this file is read:  WORK   a temporary directory of the caller's
# Set by this file:              PORT   the port the registry listens on
#                                ROOT   its storage root
#                                SERVER_PID
#                                SERVER_LOG  unless the caller has set it

# REGISTRY may name another build of the program, for instance a debug build.
REGISTRY=${REGISTRY:-${CARGO_TARGET_DIR:-target}/release/registry}
ROOT=$WORK/root
SERVER_LOG=${SERVER_LOG:-$WORK/registry.log}
SERVER_PID=

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
# returns when it answers. Its log is appended to SERVER_LOG.
start_server() {
  if [ ! -x "$REGISTRY" ]; then
    echo "no program at $REGISTRY: run \`make build\` first" >&2
    return 1
  fi
  PORT=${PORT:-$(free_port)} || return 1
  "$REGISTRY" serve --listen "127.0.0.1:$PORT" --root "$ROOT" >>"$SERVER_LOG" 2>&1 &
  SERVER_PID=$!
  local deadline=$((SECONDS + 10))
  until curl -fsS -o "$WORK/ready.out" "http://127.0.0.1:$PORT/v2/" 2>"$WORK/ready.err"; do
    if ! kill -0 "$SERVER_PID" 2>/dev/null; then
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
stop_server() {
  [ -n "$SERVER_PID" ] || return 0
  local pid=$SERVER_PID
  SERVER_PID=
  end_process "$pid" 15
}

# The crash: no handler runs, nothing is flushed.
kill_server() {
  kill -KILL "$SERVER_PID"
  # The shell reports "Killed" when it collects the process; that is no news here.
  wait "$SERVER_PID" 2>/dev/null || true
  SERVER_PID=
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
