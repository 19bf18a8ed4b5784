//! The process: signals, and how many files it may open.

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
