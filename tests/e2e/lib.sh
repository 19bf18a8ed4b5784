# The words the steps are written in: run, expect, ok, fail, and the clock.

# Runs a command quietly. Its output is in $OUT afterwards; if it fails, the output
# is shown and the whole script ends.
OUT=$WORK/out
run() {
  COMMAND="$*"
  "$@" >"$OUT" 2>&1 </dev/null || fail "exit status $?: $COMMAND"
}

# The last command's output must contain this text.
expect() {
  grep -qF -- "$1" "$OUT" || fail "no \"$1\" in the output of: $COMMAND"
}

# ok <what was shown> [<figure>]: the one line a step prints.
ok() {
  printf 'ok    %s%s\n' "$1" "${2:+ ($2)}"
  STEPS=$((${STEPS:-0} + 1))
}

# Says what went wrong with all there is to know, and ends the script (run.sh's trap
# tidies up). Must not be called in a $(subshell), which alone would end.
fail() {
  echo "FAIL  $1"
  if [ -s "$OUT" ]; then
    echo "----- output of the last command"
    tail -60 "$OUT"
  fi
  if [ -s "$SERVER_LOG" ]; then
    echo "----- the end of the registry's log, $SERVER_LOG"
    tail -15 "$SERVER_LOG" | cut -c1-400
  fi
  exit 1
}

# need <program> <Debian package>: a missing tool is a failure, never a skipped test.
need() {
  command -v "$1" >/dev/null || PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ||
    fail "$1 is missing: apt-get install $2"
}

now_ms() { echo $(($(date +%s%N) / 1000000)); }

# since <now_ms of then>: the time that passed, for people.
since() {
  local ms=$(($(now_ms) - $1))
  printf '%d.%02d s' $((ms / 1000)) $((ms % 1000 / 10))
}

# under <limit in ms> <what> <prepare> <command...>: the command must take less than
# the limit. Of three runs the best one counts: a busy machine makes a program slow,
# nothing makes it fast. <prepare> is a function that runs before each, untimed.
under() {
  local limit=$1 what=$2 prepare=$3 best= start took
  shift 3
  for _ in 1 2 3; do
    "$prepare"
    start=$(now_ms)
    run "$@"
    took=$(($(now_ms) - start))
    if [ -z "$best" ] || [ "$took" -lt "$best" ]; then best=$took; fi
  done
  [ "$best" -lt "$limit" ] || fail "$what took $best ms at best, allowed are $limit ms"
  ok "$what" "$best ms, best of 3; must be under $limit ms"
}

# Where the registry keeps things, and what tools outside it make of them.
tag_file() { echo "$ROOT/repositories/$1/_tags/$2"; }
digest_of() { echo "sha256:$(sha256sum <"$1" | cut -d' ' -f1)"; }
blob_file() { echo "$ROOT/blobs/${1/:/\/}"; }

# tag_is <repository> <tag> <digest>: `cat` of the tag's file is the manifest that the
# client knows by this digest.
tag_is() {
  local file
  file=$(tag_file "$1" "$2")
  [ -e "$file" ] || fail "no file $file"
  [ "$(digest_of "$file")" = "$3" ] || fail "$file hashes to $(digest_of "$file"), the client saw $3"
}

# header <name>: its value in the last answer that curl wrote to $WORK/headers.
header() { tr -d '\r' <"$WORK/headers" | sed -n "s/^$1: //Ip" | tail -1; }

# location_of <url of the server>: where the last answer points; Location may be relative.
location_of() {
  local location
  location=$(header Location)
  case $location in
    http*) echo "$location" ;;
    *) echo "$1$location" ;;
  esac
}

# with_digest <location> <digest>: what closes a session.
with_digest() {
  case $1 in
    *\?*) echo "$1&digest=$2" ;;
    *) echo "$1?digest=$2" ;;
  esac
}
