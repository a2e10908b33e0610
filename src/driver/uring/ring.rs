//! An `io_uring` with direct descriptors, as safe calls.
//!
//! Why unsafe: an entry hands the kernel raw pointers, and the compiler cannot see when it is done with them.
//! What it relies on: entries that carry pointers end inside the call of `io_uring_enter` that takes them: sends and
//! accepts because they must not wait (`MSG_DONTWAIT`, `IORING_ACCEPT_DONTWAIT`), options because they never do, a
//! connect because its address is copied on submission. All that they point to belongs to [`Batch`], which is cleared
//! only when the submission queue is empty behind such a call. Polls, cancellations, shutdowns and closes carry no
//! pointer; receives write to the buffer ring only, inside such a call, because the ring defers its work
//! (`IORING_SETUP_DEFER_TASKRUN`) and has one issuer. What would break it: an entry with a pointer that may wait, a ring
//! without deferred work, or a batch that is cleared early. `tests.rs` holds each of these to the kernel's behaviour; the
//! contract suite runs the driver above beside epoll, its safe twin.
#![allow(unsafe_code)]

mod completion;

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{CancelBuilder, DestinationSlot, Fixed, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, opcode, types};
use socket2::{Domain, SockAddr, SockAddrStorage};

pub(super) use self::completion::{AcceptDone, Event, Outcome, ReadDone};
use super::buffer_ring::{BufferRing, GROUP, Piece};
use super::mark::{
    CLOSE, CONNECT, FINISH, IGNORED, LISTEN, OPEN, PENDING, POLL, RECEIVE, REFUSE, ROOM, WAKE, mark, mark_number,
};
use super::probe::check;
use crate::buf::Segment;
use crate::command::ConnId;
use crate::limits::{ACCEPTS_PER_BATCH_MAX, HEAD_LEN_MAX, NOTSENT_LOWAT, SEGMENTS_PER_SEND_MAX, SUBMIT_RETRY_MS};

/// A ring that no thread has made its own yet, and its buffers.
pub(super) struct RingSetup {
    io: IoUring,
    buffers: BufferRing,
}

/// One thread's ring. The order of the fields is that in which they are dropped.
pub(super) struct Ring {
    io: IoUring,
    buffers: BufferRing,
    batch: Batch,
    events: Vec<Event>,
    reads: Vec<ReadDone>,
    accepts: Vec<AcceptDone>,
}

/// The memory that entries in the submission queue point to, and the meaning of their completions.
struct Batch {
    /// By the number in an entry's mark.
    pending: Vec<Pending>,
    /// Of sends to many.
    segments: Vec<Segment>,
    /// Of sends; taken as they end.
    vectors: Vec<Vec<Segment>>,
    /// Never longer than their first capacity, so that nothing in them moves.
    slices: Vec<libc::iovec>,
    headers: Vec<libc::msghdr>,
    addresses: Vec<Address>,
    targets: Vec<SockAddr>,
}

/// An entry that ends in the call that takes it.
#[derive(Clone, Copy)]
enum Pending {
    Many { conn: ConnId, segment: u32 },
    Send { conn: ConnId, vector: u32 },
    Read { place: u32 },
    Accept { address: u32 },
}

struct Address {
    storage: SockAddrStorage,
    len: libc::socklen_t,
}

impl RingSetup {
    /// A ring with room for `files_max` direct descriptors.
    ///
    /// # Errors
    /// The error of the kernel, or [`io::ErrorKind::Unsupported`] with what it lacks.
    pub(super) fn new(files_max: u32) -> io::Result<Self> {
        Self::with_lengths(files_max, ENTRIES_PER_SUBMIT, COMPLETIONS_LEN)
    }

    /// The same with queues of another length, at most that of [`RingSetup::new`].
    pub(super) fn with_lengths(files_max: u32, entries: u32, completions: u32) -> io::Result<Self> {
        let io = IoUring::builder()
            .setup_r_disabled()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(completions)
            .build(entries)?;
        check(&io)?;
        let submitter = io.submitter();
        submitter.register_files_sparse(files_max)?;
        // Only ends of streams go through a worker thread, of which one is enough.
        submitter.register_iowq_max_workers(&mut [1, 1])?;
        let buffers = BufferRing::register(&submitter)?;
        Ok(Self { io, buffers })
    }

    /// Makes the ring this thread's own.
    ///
    /// # Errors
    /// The error of the kernel; nothing is known that it could.
    pub(super) fn enable(self) -> io::Result<Ring> {
        self.io.submitter().register_enable_rings()?;
        let entries = ENTRIES_PER_SUBMIT as usize;
        let batch = Batch {
            pending: Vec::with_capacity(entries),
            segments: Vec::new(),
            vectors: Vec::with_capacity(entries),
            slices: Vec::with_capacity(SLICES_PER_BATCH_MAX),
            headers: Vec::with_capacity(entries),
            addresses: Vec::with_capacity(ACCEPTS_PER_BATCH_MAX),
            targets: Vec::with_capacity(entries),
        };
        let Self { io, buffers } = self;
        Ok(Ring { io, buffers, batch, events: Vec::new(), reads: Vec::new(), accepts: Vec::new() })
    }
}

impl Ring {
    /// Arms a poll that tells when there is something to receive, again and again.
    pub(super) fn poll(&mut self, conn: ConnId, file: u32) -> io::Result<()> {
        let entry = opcode::PollAdd::new(Fixed(file), POLL_RECEIVE).multi(true).build();
        self.push(entry.user_data(mark(POLL, conn)))
    }

    /// Arms a poll that tells once when there is room to send.
    pub(super) fn poll_room(&mut self, conn: ConnId, file: u32) -> io::Result<()> {
        let entry = opcode::PollAdd::new(Fixed(file), libc::POLLOUT as u32).build();
        self.push(entry.user_data(mark(ROOM, conn)))
    }

    /// Arms a receive that brings everything that comes, until it is over.
    pub(super) fn arm(&mut self, conn: ConnId, file: u32) -> io::Result<()> {
        let entry = opcode::RecvMulti::new(Fixed(file), GROUP).build();
        self.push(entry.user_data(mark(RECEIVE, conn)))
    }

    pub(super) fn cancel_poll(&mut self, conn: ConnId) -> io::Result<()> {
        self.cancel(mark(POLL, conn))
    }

    pub(super) fn cancel_room(&mut self, conn: ConnId) -> io::Result<()> {
        self.cancel(mark(ROOM, conn))
    }

    pub(super) fn disarm(&mut self, conn: ConnId) -> io::Result<()> {
        self.cancel(mark(RECEIVE, conn))
    }

    pub(super) fn cancel_connect(&mut self, conn: ConnId) -> io::Result<()> {
        self.cancel(mark(CONNECT, conn))
    }

    pub(super) fn cancel_listen(&mut self, listener: u32) -> io::Result<()> {
        self.cancel(mark_number(LISTEN, listener))
    }

    /// Cancels the entry with this mark, if it exists.
    fn cancel(&mut self, marked: u64) -> io::Result<()> {
        self.push(opcode::AsyncCancel::new(marked).build().flags(Flags::SKIP_SUCCESS).user_data(IGNORED))
    }

    /// Reads what is there, at most `len` bytes and a buffer; told by [`Ring::take_reads`] after the next flush.
    pub(super) fn read(&mut self, place: u32, file: u32, len: u32) -> io::Result<()> {
        self.make_room(0)?;
        let entry = opcode::Recv::new(Fixed(file), ptr::null_mut(), len)
            .flags(libc::MSG_DONTWAIT)
            .buf_group(GROUP)
            .build()
            .flags(Flags::BUFFER_SELECT);
        let marked = self.batch.begin(Pending::Read { place });
        self.push(entry.user_data(marked))
    }

    /// Sends `segment` to each of `conns` and their direct descriptors, without waiting. Only who does not take all of
    /// it is told of: `MSG_WAITALL` makes a short send a failed one, and the completions of the others are left out.
    pub(super) fn send_to_each(
        &mut self,
        segment: &Segment,
        conns: impl Iterator<Item = (ConnId, u32)>,
    ) -> io::Result<()> {
        let (start, len) = (segment.as_ptr(), segment.len() as u32);
        for (conn, file) in conns {
            self.make_room(0)?;
            if self.batch.segments.last().is_none_or(|last| last.as_ptr() != start || last.len() != segment.len()) {
                self.batch.segments.push(segment.clone());
            }
            let place = self.batch.segments.len() as u32 - 1;
            let marked = self.batch.begin(Pending::Many { conn, segment: place });
            let entry = opcode::Send::new(Fixed(file), start, len).flags(SEND_ONCE | libc::MSG_WAITALL).build();
            self.push(entry.flags(Flags::SKIP_SUCCESS).user_data(marked))?;
        }
        Ok(())
    }

    /// Sends what the kernel takes of `segments` at once.
    pub(super) fn send(&mut self, conn: ConnId, file: u32, segments: Vec<Segment>) -> io::Result<()> {
        self.make_room(segments.len())?;
        let batch = &mut self.batch;
        let entry =
            if let [segment] = &segments[..] {
                opcode::Send::new(Fixed(file), segment.as_ptr(), segment.len() as u32).flags(SEND_ONCE).build()
            } else {
                let first = batch.slices.len();
                batch.slices.extend(segments.iter().map(|segment| libc::iovec {
                    iov_base: segment.as_ptr().cast_mut().cast(),
                    iov_len: segment.len(),
                }));
                // SAFETY: a header of nothing is all zeroes; there is padding that only this sets.
                let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
                header.msg_iov = batch.slices[first..].as_mut_ptr();
                header.msg_iovlen = segments.len() as _;
                batch.headers.push(header);
                let header = ptr::from_ref(&batch.headers[batch.headers.len() - 1]);
                opcode::SendMsg::new(Fixed(file), header).flags(SEND_ONCE as u32).build()
            };
        batch.vectors.push(segments);
        let vector = batch.vectors.len() as u32 - 1;
        let marked = batch.begin(Pending::Send { conn, vector });
        self.push(entry.user_data(marked))
    }

    /// Ends our side of the stream; `Finished` follows.
    pub(super) fn finish(&mut self, conn: ConnId, file: u32) -> io::Result<()> {
        let entry = opcode::Shutdown::new(Fixed(file), libc::SHUT_WR).build();
        self.push(entry.user_data(mark(FINISH, conn)))
    }

    /// Makes the close that follows a reset. If it fails, the socket is closed in order.
    pub(super) fn reset_on_close(&mut self, file: u32) -> io::Result<()> {
        self.set_option(file, libc::SOL_SOCKET, libc::SO_LINGER, &LINGER_NOT)
    }

    fn set_option<T>(&mut self, file: u32, level: i32, name: i32, value: &'static T) -> io::Result<()> {
        let (start, len) = (ptr::from_ref(value).cast(), size_of::<T>() as u32);
        let entry = opcode::SetSockOpt::new(Fixed(file), level as u32, name as u32, start, len).build();
        self.push(entry.flags(Flags::SKIP_SUCCESS).user_data(IGNORED))
    }

    /// Gives a direct descriptor back; `Released` follows.
    pub(super) fn close(&mut self, conn: Option<ConnId>, file: u32) -> io::Result<()> {
        let marked = conn.map_or(mark_number(REFUSE, 0), |conn| mark(CLOSE, conn));
        self.push(opcode::Close::new(Fixed(file)).build().user_data(marked))
    }

    /// Says some words and gives a direct descriptor back; `Released` follows. Entries are done in their order, since
    /// none of them waits.
    pub(super) fn refuse(&mut self, file: u32, words: &'static [u8]) -> io::Result<()> {
        if !words.is_empty() {
            let (start, len) = (words.as_ptr(), words.len() as u32);
            let entry = opcode::Send::new(Fixed(file), start, len).flags(SEND_ONCE).build();
            self.push(entry.flags(Flags::SKIP_SUCCESS).user_data(IGNORED))?;
            // Received bytes are dropped: the kernel resets over bytes that nobody took, and the words may be
            // lost with it. `MSG_TRUNC` makes TCP drop them, so that they need no buffer.
            let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
            let entry = opcode::Recv::new(Fixed(file), ptr::null_mut(), HEAD_LEN_MAX as u32).flags(flags).build();
            self.push(entry.flags(Flags::SKIP_SUCCESS).user_data(IGNORED))?;
            let entry = opcode::Shutdown::new(Fixed(file), libc::SHUT_WR).build();
            self.push(entry.flags(Flags::SKIP_SUCCESS).user_data(IGNORED))?;
        }
        self.close(None, file)
    }

    /// Opens a TCP socket; `Opened` follows.
    pub(super) fn open(&mut self, conn: ConnId, peer: SocketAddr) -> io::Result<()> {
        let domain = Domain::for_address(peer).into();
        let entry = opcode::Socket::new(domain, libc::SOCK_STREAM, libc::IPPROTO_TCP)
            .file_index(Some(DestinationSlot::auto_target()))
            .build();
        self.push(entry.user_data(mark(OPEN, conn)))
    }

    /// Sets the options of an opened socket and connects it; `Connected` follows.
    pub(super) fn connect(&mut self, conn: ConnId, file: u32, peer: SocketAddr) -> io::Result<()> {
        self.set_option(file, libc::IPPROTO_TCP, libc::TCP_NODELAY, &ON)?;
        self.set_option(file, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, &NOTSENT_LOWAT)?;
        self.make_room(0)?;
        self.batch.targets.push(peer.into());
        let target = &self.batch.targets[self.batch.targets.len() - 1];
        let entry = opcode::Connect::new(Fixed(file), target.as_ptr().cast(), target.len()).build();
        self.push(entry.user_data(mark(CONNECT, conn)))
    }

    /// Arms a poll that tells when connections wait at a listener.
    pub(super) fn listen(&mut self, index: u32, listener: &TcpListener) -> io::Result<()> {
        let fd = types::Fd(listener.as_raw_fd());
        let entry = opcode::PollAdd::new(fd, libc::POLLIN as u32).multi(true).build();
        self.push(entry.user_data(mark_number(LISTEN, index)))
    }

    /// Accepts one connection, if one waits; told by [`Ring::take_accepts`] after the next flush. At most
    /// [`ACCEPTS_PER_BATCH_MAX`] before that.
    pub(super) fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        self.make_room(0)?;
        let batch = &mut self.batch;
        assert!(batch.addresses.len() < ACCEPTS_PER_BATCH_MAX, "there is a place for each address");
        let storage = SockAddrStorage::zeroed();
        let len = storage.size_of();
        batch.addresses.push(Address { storage, len });
        let place = batch.addresses.len() - 1;
        let marked = batch.begin(Pending::Accept { address: place as u32 });
        let address = &mut batch.addresses[place];
        let mut entry = opcode::Accept::new(
            types::Fd(listener.as_raw_fd()),
            ptr::from_mut(&mut address.storage).cast(),
            &raw mut address.len,
        )
        .file_index(Some(DestinationSlot::auto_target()))
        .build()
        .user_data(marked);
        // SAFETY: an entry is the kernel's `struct io_uring_sqe`, whose second half-word is `ioprio`; the builder of
        // accepts does not offer it.
        unsafe { ptr::from_mut(&mut entry).cast::<u16>().add(1).write(ACCEPT_DONTWAIT) };
        self.push(entry)
    }

    /// Arms a poll that tells when `eventfd` is written to.
    pub(super) fn watch(&mut self, eventfd: &File) -> io::Result<()> {
        let fd = types::Fd(eventfd.as_raw_fd());
        let entry = opcode::PollAdd::new(fd, libc::POLLIN as u32).multi(true).build();
        self.push(entry.user_data(mark_number(WAKE, 0)))
    }

    /// Submits what was pushed, without waiting for anything.
    ///
    /// # Errors
    /// An error that no connection caused; not a lack of memory, which is waited out.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.io.submission().is_empty() {
            self.enter(0, EnterFlags::empty(), None)?;
        }
        Ok(())
    }

    /// Submits what was pushed, lets the kernel do what it has deferred, and waits for the first event, at most for
    /// `timeout`. `false` if it was interrupted before.
    ///
    /// # Errors
    /// As for [`Ring::flush`].
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        let timespec = timeout.map(Timespec::from);
        let want = u32::from(timeout != Some(Duration::ZERO));
        self.enter(want, EnterFlags::GETEVENTS, timespec.as_ref().filter(|_| want > 0))
    }

    /// Whether the kernel has deferred work, or completions that found no room.
    pub(super) fn has_deferred(&mut self) -> bool {
        let queue = self.io.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    /// The bytes of a piece.
    pub(super) fn bytes(&mut self, piece: &mut Piece) -> &mut [u8] {
        self.buffers.bytes(piece)
    }

    /// Lets the kernel have the place of a piece again.
    pub(super) fn give_back(&mut self, piece: Piece) {
        self.buffers.give_back(piece);
    }

    /// Sees to it that an entry with so many slices finds room in the queue and in the batch.
    fn make_room(&mut self, slices: usize) -> io::Result<()> {
        let batch = &self.batch;
        let has_room = batch.slices.len() + slices <= SLICES_PER_BATCH_MAX
            && batch.pending.len().max(batch.targets.len()) < ENTRIES_PER_SUBMIT as usize;
        if has_room && !self.io.submission().is_full() { Ok(()) } else { self.flush() }
    }

    fn push(&mut self, entry: Entry) -> io::Result<()> {
        loop {
            // SAFETY: every entry is built by a method above. What it points to is static, or belongs to the batch,
            // which is cleared only behind the call that takes the entry, and ends inside that call.
            if unsafe { self.io.submission().push(&entry) }.is_ok() {
                return Ok(());
            }
            // Never with a pointer into the batch: `make_room` came before those.
            self.flush()?;
        }
    }

    fn enter(&mut self, want: u32, flags: EnterFlags, timeout: Option<&Timespec>) -> io::Result<bool> {
        let len = self.io.submission().len() as u32;
        let args = timeout.map_or(SubmitArgs::new(), |timeout| SubmitArgs::new().timespec(timeout));
        let flags = (flags | EnterFlags::EXT_ARG).bits();
        // SAFETY: the entries are those of `push`; the arguments live until the call returns.
        let outcome = unsafe { self.io.submitter().enter(len, want, flags, Some(&args)) };
        self.take();
        // Completions that found no room follow in order, those of this batch last: they need it still.
        while self.io.submission().cq_overflow() {
            // SAFETY: nothing is submitted, and no argument given.
            let flushed =
                unsafe { self.io.submitter().enter::<libc::sigset_t>(0, 0, EnterFlags::GETEVENTS.bits(), None) };
            self.take();
            if flushed.is_err() {
                std::thread::sleep(Duration::from_millis(SUBMIT_RETRY_MS));
            }
        }
        if self.io.submission().is_empty() {
            self.batch.clear();
        }
        match outcome.map_err(|error| (error.raw_os_error(), error)) {
            Ok(_) | Err((Some(libc::ETIME), _)) => Ok(true),
            // Completions were dropped, which the kernel does only when it has no memory to keep them: whoever waits for
            // one is ended by its deadline.
            Err((Some(libc::EBADR), _)) => Ok(true),
            Err((Some(libc::EINTR), _)) => Ok(false),
            // No memory for requests or for completions: what is there was taken, and the next try waits a little.
            Err((Some(libc::EAGAIN | libc::EBUSY | libc::ENOMEM), _)) => {
                std::thread::sleep(Duration::from_millis(SUBMIT_RETRY_MS));
                Ok(false)
            }
            Err((_, error)) => Err(error),
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // Armed receives end now, before their buffers are freed. The call fails if none is armed, or on another
        // thread.
        let _ = self.io.submitter().register_sync_cancel(None, CancelBuilder::any());
    }
}

impl Batch {
    /// The mark of the next entry.
    fn begin(&mut self, pending: Pending) -> u64 {
        self.pending.push(pending);
        mark_number(PENDING, self.pending.len() as u32 - 1)
    }

    fn clear(&mut self) {
        self.pending.clear();
        self.segments.clear();
        self.vectors.clear();
        self.slices.clear();
        self.headers.clear();
        self.addresses.clear();
        self.targets.clear();
    }
}

impl Address {
    /// The address that the kernel wrote.
    fn read(&self) -> SocketAddr {
        let len = self.len.min(self.storage.size_of());
        // SAFETY: the kernel wrote an address of this length, and zeroes are behind it.
        let address = unsafe { SockAddr::new(ptr::read(&self.storage), len) };
        address.as_socket().unwrap_or(UNKNOWN)
    }
}

#[cfg(test)]
impl Ring {
    /// A descriptor of the process for a direct one.
    pub(super) fn install(&mut self, file: u32) -> OwnedFd {
        let entry = opcode::FixedFdInstall::new(Fixed(file), 0).build();
        self.push(entry.user_data(mark_number(OPEN, file))).expect("there is memory");
        self.flush().expect("there is memory");
        let events = std::mem::take(&mut self.events);
        let fd = events.into_iter().find_map(|event| match event {
            Event::Opened { outcome, .. } => Some(outcome.expect("there are descriptors")),
            _ => None,
        });
        // SAFETY: the descriptor is new, and nobody else's.
        unsafe { OwnedFd::from_raw_fd(fd.expect("it ends at once") as i32) }
    }
}

/// An eventfd on which writing never blocks.
pub(super) fn eventfd() -> io::Result<File> {
    // SAFETY: the call takes no pointer.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new, and nobody else's.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Entries that one submission takes: that many sends share one call.
pub(super) const ENTRIES_PER_SUBMIT: u32 = 256;
/// Completions that find room; the kernel keeps what is above. The kernel also sizes its table of armed requests by
/// this, up to 256 rows from here on.
const COMPLETIONS_LEN: u32 = 8192;
/// References to bytes in one submission, for sends of several segments.
const SLICES_PER_BATCH_MAX: usize = 32 * SEGMENTS_PER_SEND_MAX;
const POLL_RECEIVE: u32 = (libc::POLLIN | libc::POLLRDHUP) as u32;
const SEND_ONCE: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
/// `IORING_ACCEPT_DONTWAIT`.
const ACCEPT_DONTWAIT: u16 = 2;
const LINGER_NOT: libc::linger = libc::linger { l_onoff: 1, l_linger: 0 };
const ON: libc::c_int = 1;
/// Where the kernel told of no IP address.
const UNKNOWN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
