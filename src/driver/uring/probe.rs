//! The features that the kernel must have.

use std::io;

use io_uring::{IoUring, Probe, opcode};

/// Holds what the kernel offers against what is used.
pub(super) fn check(io: &IoUring) -> io::Result<()> {
    let (mut probe, parameters) = (Probe::new(), io.params());
    io.submitter().register_probe(&mut probe)?;
    let lacking = OPERATIONS.iter().find(|(code, _)| !probe.is_supported(*code)).map(|(_, name)| *name);
    let features = [
        (parameters.is_feature_ext_arg(), "waiting with a timeout"),
        (parameters.is_feature_nodrop(), "completions that are never dropped"),
        (parameters.is_feature_submit_stable(), "stable submissions"),
        (parameters.is_feature_skip_cqe_on_success(), "skipped completions"),
        // Of the same release as buffers that are filled piece by piece.
        (parameters.is_feature_min_timeout(), "what came with Linux 6.12"),
    ];
    let lacking = lacking.or_else(|| features.into_iter().find(|(is_there, _)| !is_there).map(|(_, name)| name));
    match lacking {
        None => Ok(()),
        Some(name) => Err(io::Error::new(io::ErrorKind::Unsupported, format!("this kernel has no {name}"))),
    }
}

/// An error of setting a ring up, with what it means.
pub(super) fn explain(error: io::Error) -> io::Error {
    let meaning = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => "forbidden by kernel.io_uring_disabled or a seccomp filter",
        Some(libc::ENOSYS) => "this kernel has none",
        Some(libc::EINVAL) => "this kernel lacks something of Linux 6.12",
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{meaning} ({error})"))
}

/// The features in use, by the names of the manual.
const OPERATIONS: &[(u8, &str)] = &[
    (opcode::PollAdd::CODE, "POLL_ADD"),
    (opcode::AsyncCancel::CODE, "ASYNC_CANCEL"),
    (opcode::Recv::CODE, "RECV"),
    (opcode::Send::CODE, "SEND"),
    (opcode::SendMsg::CODE, "SENDMSG"),
    (opcode::Accept::CODE, "ACCEPT"),
    (opcode::Close::CODE, "CLOSE"),
    (opcode::Shutdown::CODE, "SHUTDOWN"),
    (opcode::Socket::CODE, "SOCKET"),
    (opcode::Connect::CODE, "CONNECT"),
    (opcode::SetSockOpt::CODE, "URING_CMD"),
];
