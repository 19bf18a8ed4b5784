# The official conformance suite: where it comes from, a run of it, and what came of
# it. Read by tests/conformance/run.sh and by tests/scale/run.sh.
#
# Where the suite comes from, in this order:
#   1. CONFORMANCE=/path/to/program   a suite that is already built
#   2. oci-conformance on the PATH
#   3. `go install` of the pinned version of its module (Go 1.24 or newer)
#
# Where it cannot be had, the script that reads this ends with 3: nothing is known
# either way. That leaves target/conformance/not-run with the reason, because make
# reports every failure of a recipe as 2.
#
# Set before this file is read:  WORK         a temporary directory of the caller's
#                                RESULTS      where the reports of the runs go
#                                MAKE_TARGET  what the user calls, for messages
# Set before run_version:        TARGET       the registry, as host:port

SUITE_MODULE=github.com/opencontainers/distribution-spec/conformance
SUITE_VERSION=v0.0.0-20260716174315-967efdc079b9
SUITE_HOME=$PWD/target/conformance
GO_VERSION_MIN=1.24
REASON_CHARS_MAX=300 # a reason may quote a whole manifest; report.html has the rest
NOT_RUN=$SUITE_HOME/not-run

mkdir -p "$SUITE_HOME" "$RESULTS"
rm -f "$NOT_RUN"

# Sets SUITE to a program that runs, or ends the script.
find_suite() {
  if [ -n "${CONFORMANCE:-}" ]; then
    [ -x "$CONFORMANCE" ] || { echo "CONFORMANCE=$CONFORMANCE is not a program" >&2; exit 1; }
    SUITE=$CONFORMANCE
    return
  fi
  if SUITE=$(command -v oci-conformance); then
    return
  fi
  SUITE=$SUITE_HOME/bin/$SUITE_VERSION/conformance
  [ -x "$SUITE" ] || install_suite
}

install_suite() {
  local go_version
  if ! go_version=$(go env GOVERSION 2>&1); then
    echo "the suite is written in Go, and there is no go here: install Go $GO_VERSION_MIN or newer (Debian: golang)" >&2
    exit 1
  fi
  go_version=${go_version#go}
  if [ "$(printf '%s\n' "$GO_VERSION_MIN" "$go_version" | sort -V | head -1)" != "$GO_VERSION_MIN" ]; then
    echo "the suite needs Go $GO_VERSION_MIN or newer, this is $go_version" >&2
    exit 1
  fi
  # Two steps, because they fail for different reasons: a module that nobody hands
  # out is no fault of this project, one that does not compile may well be.
  if ! go mod download "$SUITE_MODULE@$SUITE_VERSION" >"$WORK/go.out" 2>&1; then
    not_run "go mod download says: $(tail -1 "$WORK/go.out")"
  fi
  if ! GOBIN=$(dirname "$SUITE") go install "$SUITE_MODULE@$SUITE_VERSION" >"$WORK/go.out" 2>&1; then
    cat "$WORK/go.out" >&2
    echo "the suite was downloaded but does not build" >&2
    exit 1
  fi
}

not_run() {
  echo "$1" >"$NOT_RUN"
  cat >&2 <<TEXT
================================================================================
The official conformance suite was NOT RUN, so nothing is known about conformance.

  why:  $1

To supply it, build the folder "conformance" of the distribution-spec repository
where it can be had (commit ${SUITE_VERSION##*-}, Go $GO_VERSION_MIN or newer):

  cd distribution-spec/conformance && go build -o oci-conformance .

then put the program on the PATH as oci-conformance, or name it:

  $MAKE_TARGET CONFORMANCE=/path/to/oci-conformance
================================================================================
TEXT
  exit 3
}

# run_version <version>: one run of the suite. Prints what did not pass and why, and
# adds a line to the table; fails if a test failed or none ran.
run_version() {
  local version=$1 status=0
  local out=$RESULTS/$version
  rm -rf "$out"
  mkdir -p "$out"

  # A clean environment, since the suite takes OCI_* variables from it, old names
  # included. Fresh repositories for each version, though both use one registry.
  #
  # The settings below are those that are off by default in 1.1; everything else is
  # on already. OCI_DATA_SPARSE stays off: see explain_sparse.
  env -i PATH="$PATH" HOME="$WORK" \
    OCI_VERSION="$version" \
    OCI_REGISTRY="$TARGET" OCI_TLS=disabled \
    OCI_REPO1="conformance/v$version/repo1" OCI_REPO2="conformance/v$version/repo2" \
    OCI_API_BLOBS_DIGEST_HEADER=true \
    OCI_API_BLOBS_UPLOAD_CANCEL=true \
    OCI_API_MANIFESTS_DIGEST_HEADER=true \
    OCI_API_MANIFESTS_TAG_PARAM=true \
    OCI_RESULTS_DIR="$out" OCI_LOG=info \
    "$SUITE" >"$out/summary.txt" 2>"$out/log.txt" || status=$?

  local passed failed skipped
  passed=$(count_of "$out" Pass)
  failed=$(($(count_of "$out" FAIL) + $(count_of "$out" Error)))
  skipped=$(($(count_of "$out" Skip) + $(count_of "$out" Disabled)))

  echo
  echo "version $version: passed $passed, failed $failed, skipped $skipped"
  reasons "$out"
  data_sets_not_run "$out"
  [ -e "$WORK/table" ] || table_row version passed failed skipped >"$WORK/table"
  table_row "$version" "$passed" "$failed" "$skipped" >>"$WORK/table"

  # The exit status alone does not tell: the suite also ends with 0 when it cannot
  # read its configuration, with no test run.
  if [ "$status" -ne 0 ] || [ "$failed" -ne 0 ] || [ "$passed" -eq 0 ]; then
    echo "  FAIL: the suite ended with status $status; the end of its log:"
    grep -v 'level=INFO' "$out/log.txt" | tail -5 | cut -c1-"$REASON_CHARS_MAX" | sed 's/^/    /'
    return 1
  fi
}

table_row() { printf '%-10s %8s %8s %8s\n' "$@"; }

# The summary has lines such as "  Pass..........................:        932".
count_of() {
  awk -v status="$2" '
    /^OCI Conformance Result:/ { inside = 1 }
    inside && $1 ~ "^" status "\\.+:$" { print $2; found = 1; exit }
    END { if (!found) print 0 }' "$1/summary.txt"
}

# Name and reason of each test that did not pass. The summary is a tree of
# "<name>: <status>" lines in which a child's name begins with its parent's; only
# the leaves are tests. Reasons follow a test's line, except for tests that were
# never tried: theirs are in the log.
reasons() {
  awk -v chars_max="$REASON_CHARS_MAX" '
    FNR == NR {
      if (match($0, /msg="skipping test" name="[^"]*" error=/)) {
        reason = substr($0, RSTART + RLENGTH)
        name = substr($0, RSTART, RLENGTH)
        sub(/^msg="skipping test" name="/, "", name); sub(/" error=$/, "", name)
        untried[name] = reason
      }
      next
    }
    /^Configuration:/ { exit }
    /^ *OCI Conformance Test/ {
      line = $0; sub(/^ +/, "", line)
      name = line; sub(/: [A-Za-z]+$/, "", name)
      if (index(name, last_name "/") != 1) report()
      last_name = name
      status = line; sub(/.*: /, "", status)
      text = ""
      next
    }
    { sub(/^ +(- )?/, ""); text = text (text == "" ? "" : "; ") $0 }
    function report() {
      if (last_name == "" || status == "Pass") return
      if (text == "") text = untried[last_name]
      text = substr(text, 1, chars_max)
      printf "  %-8s %s\n           %s\n", status, last_name, text == "" ? "(no reason given)" : text
    }
    END { report() }' "$1/log.txt" "$1/summary.txt"
}

# Data sets that are off count neither as passed nor as skipped: name them.
data_sets_not_run() {
  awk '
    /^Data conformance:/ { inside = 1 }
    inside && / Disabled$/ { sub(/\.*: .*/, ""); sub(/^ +/, ""); print "  not run  the data set \"" $0 "\"" }' "$1/summary.txt"
}

explain_sparse() {
  cat <<TEXT

The data set "Sparse Manifests" is off on purpose. It pushes an image whose layer and
an index whose child were never pushed, and takes nothing but 201 for an answer. The
spec lets a registry reject such a manifest with MANIFEST_BLOB_UNKNOWN ("Pushing
Manifests"), and this one does: what can be pulled here is complete. The suite has no
way to expect that answer; it would count it as a failure. Our own tests expect it.

TEXT
}
