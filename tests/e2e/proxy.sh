# nginx and Caddy in front of the registry: read by tests/e2e/tls.sh and by
# tests/scale/run.sh. The configurations are those that a user copies, with nothing but
# names, ports and paths changed. Everything else that the programs need to run (where
# they log, where they keep temporary files) is written here, and lies below WORK.
#
# The programs are started by hand. Where Debian's packages run them as services
# already, those are not touched.

PROXY_PID=
PROXY_LOG=${PROXY_LOG:-$WORK/proxy.log}

# adapt <file> <new file> [<text> <in its place>]...: a copy with other names and paths.
# Every text must be in the file, or the test would test something else.
adapt() {
  local file=$1 new=$2 content
  content=$(cat "$file")
  shift 2
  while [ $# -gt 0 ]; do
    case $content in
      *"$1"*) content=${content//"$1"/"$2"} ;;
      *) fail "there is no \"$1\" in $file" ;;
    esac
    shift 2
  done
  echo "$content" >"$new"
}

# start_nginx <configuration>: what a user puts into /etc/nginx/conf.d. Its requests are
# lines in $WORK/nginx/access.log: <protocol> <server asked> <status> <method> <path>.
start_nginx() {
  local home=$WORK/nginx
  rm -rf "$home"
  mkdir "$home"
  cat >"$home/nginx.conf" <<NGINX
daemon off;
pid $home/nginx.pid;
worker_processes auto;
events { worker_connections 1024; }
http {
    log_format tested '\$server_protocol \$upstream_addr \$status \$request_method \$request_uri';
    access_log $home/access.log tested;
    client_body_temp_path $home/bodies;
    proxy_temp_path       $home/answers;
    fastcgi_temp_path     $home/fastcgi;
    uwsgi_temp_path       $home/uwsgi;
    scgi_temp_path        $home/scgi;
    include $1;
}
NGINX
  # Workers of a master that is root change to another user, who may not enter WORK.
  [ "$(id -u)" != 0 ] || sed -i '1i user root;' "$home/nginx.conf"
  PATH=$PATH:/usr/sbin:/sbin nginx -e "$PROXY_LOG" -p "$home" -c "$home/nginx.conf" >>"$PROXY_LOG" 2>&1 &
  PROXY_PID=$!
}

# start_caddy <configuration> <address>: what a user puts into /etc/caddy/Caddyfile.
# Global options come before all sites, so a file of ours has them and includes it.
start_caddy() {
  local home=$WORK/caddy
  rm -rf "$home"
  mkdir "$home"
  cat >"$home/Caddyfile" <<CADDY
{
	admin off
	auto_https disable_redirects
	default_bind $2
}
import $1
CADDY
  HOME=$home XDG_DATA_HOME=$home/data XDG_CONFIG_HOME=$home/config \
    caddy run --config "$home/Caddyfile" --adapter caddyfile >>"$PROXY_LOG" 2>&1 &
  PROXY_PID=$!
}

# proxy_answers <curl's arguments>...: waits until it does.
proxy_answers() {
  local deadline=$((SECONDS + 10))
  until curl -fsS "$@" >"$OUT" 2>&1; do
    if ! kill -0 "$PROXY_PID" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
      tail -20 "$PROXY_LOG" >>"$OUT"
      fail "the proxy does not answer"
    fi
    sleep 0.05
  done
}

stop_proxy() {
  [ -n "$PROXY_PID" ] || return 0
  local pid=$PROXY_PID
  PROXY_PID=
  end_process "$pid" 15
}
