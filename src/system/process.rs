//! The process: signals, memory, and how many files it may open.

use std::sync::atomic::{AtomicBool, Ordering};

/// A flag for opening files: not to wait for anybody.
pub const NONBLOCKING: i32 = libc::O_NONBLOCK;

/// The error of a path whose symbolic links lead to themselves, for which std has no word yet.
pub const LINKS_IN_A_CIRCLE: i32 = libc::ELOOP;

/// From this size on, memory is had from the system piece by piece and given back at once.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MMAP_BYTES_MIN: libc::c_int = 128 << 10;

/// Makes SIGTERM and SIGINT wait to be taken by [`wait_for_stop_signal`] instead of ending the process. To be
/// called before other threads start, which inherit it.
pub fn block_stop_signals() {
    // SAFETY: `stop_signals` returns an initialised set; the old mask is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &stop_signals(), std::ptr::null_mut()) };
}

/// Waits for SIGTERM or SIGINT and returns its name.
pub fn wait_for_stop_signal() -> &'static str {
    let mut signal: libc::c_int = 0;
    // SAFETY: both pointers are to initialised values of the right types.
    while unsafe { libc::sigwait(&stop_signals(), &mut signal) } != 0 {}
    if signal == libc::SIGINT { "SIGINT" } else { "SIGTERM" }
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_interrupt(_: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// The first SIGTERM or SIGINT from here on does not end the process, but is noted for [`is_interrupted`], and ends
/// what the process waits for; the second ends it. One that is ignored stays so, as of a job in the background.
pub fn note_stop_signals() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: a zeroed sigaction is a valid value, with no flags and no signals blocked; both pointers are to such
        // ones. The handler does nothing but to store a flag, which it may at any time.
        unsafe {
            let (mut action, mut before): (libc::sigaction, libc::sigaction) =
                (std::mem::zeroed(), std::mem::zeroed());
            action.sa_sigaction = note_interrupt as *const () as libc::sighandler_t;
            action.sa_flags = libc::SA_RESETHAND;
            let known = libc::sigaction(signal, std::ptr::null(), &mut before) == 0;
            if known && before.sa_sigaction != libc::SIG_IGN {
                libc::sigaction(signal, &action, std::ptr::null_mut());
            }
        }
    }
}

/// Has a signal asked the process to stop, since [`note_stop_signals`]?
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

fn stop_signals() -> libc::sigset_t {
    // SAFETY: a zeroed sigset_t is a valid value, which sigemptyset then sets up.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGTERM);
        libc::sigaddset(&mut set, libc::SIGINT);
        set
    }
}

/// Raises the limit of open files as far as this process may, and returns it.
pub fn raise_descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer and a valid request.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 && limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
    descriptor_limit()
}

/// How many files this process may have open.
pub fn descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    limit.rlim_cur
}

/// Keeps what is freed from piling up. The C library begins with the same limit, but raises it to the size of
/// whatever was freed, up to 32 MiB; from then on each of its heaps keeps manifests' worth of memory that nobody
/// uses. glibc's `mallopt` says why setting it ends that.
pub fn give_memory_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes two numbers.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_BYTES_MIN);
    }
}
