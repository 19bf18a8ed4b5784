//! `registry serve`: from a configuration to a server that runs, and its end.

use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::api::Api;
use crate::auth::Auth;
use crate::config::Config;
use crate::gc;
use crate::http::{Server, Timeouts};
use crate::log::{self, Level};
use crate::metrics;
use crate::room::Watch;
use crate::server::Service;
use crate::store::Store;
use crate::system::process;

/// How long requests in flight may take to finish after the signal to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// The name that the documentation uses for this machine.
const HOST_NAME: &str = "container-registry";

/// Serves until a signal ends it.
///
/// # Errors
/// A sentence for the one who started it: the root or the address cannot be used.
pub fn run(config: &Config) -> Result<(), String> {
    process::block_stop_signals(); // before any thread starts
    process::raise_descriptor_limit();
    process::give_memory_back();
    metrics::page::begin();
    let store = open(config)?.with_immutable(config.tags.immutable.clone());
    if store.folds_case() {
        let fields: &log::Fields<'_> = &[("root", &config.storage.path.display())];
        log::event(Level::Warn, "this file system ignores case: the tags v1 and V1 are one tag here", fields);
    }
    let address = config.listen_address();
    let timeouts = Timeouts {
        read: config.server.read_timeout,
        write: config.server.write_timeout,
        idle: config.server.idle_timeout,
    };
    let server = Server::bind(address, timeouts).map_err(|error| cannot_listen(address, &error))?;
    let address = server.address();
    let storage = &config.storage;
    let room = Watch::new(store.clone(), storage.warn_free, storage.refuse_free, config.server.read_only);
    let room = Arc::new(room);
    let (watch, counted) = (Arc::clone(&room), store.clone());
    let api = Api {
        store,
        room,
        auth: auth(config)?,
        proxies: config.auth.trusted_proxies.clone(),
        public_url: config.server.public_url.clone().unwrap_or_default(),
        manifest_bytes_max: config.limits.manifest_bytes,
    };
    if !config.server.read_only && !config.gc.interval.is_zero() {
        gc::background::start(api.store.clone(), config.gc.options(), config.gc.interval);
    }
    let service = Service::start(server, api);
    let _ = write!(std::io::stderr(), "{}", welcome(config, address)); // it serves, read or not
    watch.start();
    if !config.metrics.count_interval.is_zero() {
        metrics::counting::start(counted, config.metrics.count_interval);
    }

    let signal = process::wait_for_stop_signal();
    let fields: &log::Fields<'_> = &[("signal", &signal)];
    log::event(
        Level::Info,
        "stopping: requests in flight have 10 s to finish; a second signal ends at once",
        fields,
    );
    thread::spawn(|| {
        process::wait_for_stop_signal();
        std::process::exit(1);
    });
    if service.stop(STOP_PATIENCE) {
        log::event(Level::Info, "stopped", &[]);
    } else {
        log::event(Level::Warn, "stopped; some requests were not finished", &[]);
    }
    Ok(())
}

/// With `--read-only` a store that is there is only looked at, so that it may lie where nothing can be written.
fn open(config: &Config) -> Result<Store, String> {
    let root = &config.storage.path;
    match Store::existing(root) {
        Ok(store) if config.server.read_only => Ok(store),
        _ => Store::open(root),
    }
}

/// Who may do what, by the configuration.
fn auth(config: &Config) -> Result<Auth, String> {
    let auth = Auth::open()
        .with_switches(config.server.read_only, config.server.no_delete)
        .with_closed_metrics(config.metrics.auth);
    let public_url = config.server.public_url.as_deref().unwrap_or_default();
    match &config.auth.htpasswd {
        Some(file) => auth.with_users(file, &config.rules, config.auth.anonymous_pull, public_url),
        None => Ok(auth),
    }
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!("cannot listen on {address}: another program does already; choose a port with --listen")
        }
        _ => format!("cannot listen on {address}: {error}"),
    }
}

/// What a person sees who has just started it.
fn welcome(config: &Config, address: SocketAddr) -> String {
    let port = address.port();
    let root = config.storage.path.canonicalize().unwrap_or_else(|_| config.storage.path.clone());
    let root = root.display();
    let known = resolves_to_loopback(HOST_NAME);
    let host = if known { HOST_NAME } else { "localhost" };
    let mut text = format!(
        "container-registry {} listens on http://{address}\n\
         its files lie in {root}\n\
         \n\
         try:\n  \
           docker pull debian\n  \
           docker tag debian {host}:{port}/hello\n  \
           docker push {host}:{port}/hello\n  \
           ls -lR {root}\n\
         \n",
        env!("CARGO_PKG_VERSION")
    );
    if !known {
        text.push_str(&format!(
            "The name {HOST_NAME} is not known on this machine. This line in /etc/hosts mends that:\n  \
               127.0.0.1 {HOST_NAME}\n\
             localhost:{port} works meanwhile.\n\n"
        ));
    }
    text
}

fn resolves_to_loopback(host: &str) -> bool {
    (host, 0)
        .to_socket_addrs()
        .is_ok_and(|addresses| addresses.into_iter().any(|address| address.ip().is_loopback()))
}
