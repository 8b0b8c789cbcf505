//! A link between two network namespaces: a TUN device in each, and one thread that moves packets between them.
//!
//! The thread waits in `poll` for packets, or until the next one is due; it never spins. The shape of each direction may be
//! changed while packets are under way.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::net::within;
use super::page::NOT_RUN;
use super::queue::{Counts, Queue, Shape};

/// The longest packet of a device; TUN devices are made with the usual 1500.
const PACKET_MAX: usize = 65_536;

/// Packets read from one device before the other has its turn.
const READS_MAX: usize = 64;

/// What the kernel wants to know of a device.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

/// A device for IP packets, without a header before each.
const TUN_WITHOUT_HEADER: i16 = 0x0001 | 0x1000;

/// Opens a TUN device of this name in the namespace of the calling thread.
#[expect(unsafe_code, reason = "devices are made by a call that the kernel reads a structure from")]
fn open(name: &str) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = File::options().read(true).write(true).custom_flags(flags).open("/dev/net/tun")?;
    let mut request = Request { name: [0; 16], flags: TUN_WITHOUT_HEADER, rest: [0; 22] };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    const SET: rustix::ioctl::Opcode = rustix::ioctl::opcode::write::<i32>(b'T', 202);
    // SAFETY: the call reads and writes one `ifreq`, whose size and layout `Request` has.
    unsafe { rustix::ioctl::ioctl(&file, rustix::ioctl::Setter::<SET, Request>::new(request))? };
    Ok(file)
}

/// One of the two ways through a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From the first end to the second: from a site to the world.
    Out,
    /// From the second to the first.
    In,
}

/// A link; its devices go with it.
pub(super) struct Link {
    queues: Arc<Mutex<[Queue; 2]>>,
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Link {
    /// Makes a device in each of two namespaces, by namespace and name, and joins them.
    pub(super) fn join(ends: [(&str, &str); 2], seed: u64, shape: Shape) -> Result<Self, String> {
        let [first, second] = ends.map(|(space, name)| {
            let made = within(space, || open(name)).and_then(|made| made.map_err(|error| format!("{name}: {error}")));
            made.map_err(|error| format!("{NOT_RUN}this machine has no TUN devices for the links: {error}"))
        });
        let files = [first?, second?];
        let queues = Arc::new(Mutex::new([Queue::new(seed, shape), Queue::new(!seed, shape)]));
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).map_err(|error| format!("eventfd: {error}"))?);
        let (shared, stopped) = (queues.clone(), stop.clone());
        let thread = std::thread::Builder::new()
            .name("link".to_owned())
            .spawn(move || {
                if let Err(error) = carry(&files, &shared, &stopped) {
                    eprintln!("a link ended: {error}");
                }
            })
            .map_err(|error| format!("a thread: {error}"))?;
        Ok(Self { queues, stop, thread: Some(thread) })
    }

    /// Changes one way.
    pub(super) fn change(&self, way: Way, change: impl FnOnce(&mut Shape)) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut queues[way as usize].shape);
    }

    /// Changes both ways.
    pub(super) fn change_both(&self, change: impl Fn(&mut Shape)) {
        self.change(Way::Out, &change);
        self.change(Way::In, &change);
    }

    /// What was done so far, out and in.
    pub(super) fn counts(&self) -> [Counts; 2] {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        [queues[0].counts, queues[1].counts]
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Eight bytes always fit into an eventfd that nobody wrote to.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Moves packets until it is told to stop.
fn carry(files: &[File; 2], queues: &Mutex<[Queue; 2]>, stop: &OwnedFd) -> io::Result<()> {
    let began = Instant::now();
    let mut buffer = vec![0; PACKET_MAX];
    loop {
        let due = {
            let queues = queues.lock().unwrap_or_else(PoisonError::into_inner);
            queues.iter().filter_map(Queue::due).min()
        };
        let wait = due.map(|due| due.saturating_sub(began.elapsed())).map(timespec);
        let mut waiting = [
            PollFd::from_borrowed_fd(files[0].as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(files[1].as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN),
        ];
        match poll(&mut waiting, wait.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if waiting[2].revents().contains(PollFlags::IN) {
            return Ok(());
        }
        let mut queues = queues.lock().unwrap_or_else(PoisonError::into_inner);
        for (from, queue) in files.iter().zip(queues.iter_mut()) {
            for _ in 0..READS_MAX {
                match (&*from).read(&mut buffer) {
                    Ok(length) => queue.offer(began.elapsed(), &buffer[..length]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
        }
        for (to, queue) in files.iter().rev().zip(queues.iter_mut()) {
            while let Some(packet) = queue.take(began.elapsed()) {
                // A device that is full or down loses packets, as one of a real machine does.
                let _ = (&*to).write(&packet);
            }
        }
    }
}

fn timespec(wait: Duration) -> Timespec {
    Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() }
}
