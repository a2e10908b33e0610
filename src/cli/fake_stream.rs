//! A stream for tests: it answers with what it was given, and notes what was sent.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;

/// Answers in reads of at most `read_len` bytes.
pub(super) struct Fake {
    answers: VecDeque<u8>,
    read_len: usize,
    sent: Rc<RefCell<Vec<u8>>>,
}

impl Fake {
    pub(super) fn new(answers: &[u8], read_len: usize) -> Self {
        Self::noting(answers, read_len, Rc::default())
    }

    /// One that appends what is sent to `sent`.
    pub(super) fn noting(answers: &[u8], read_len: usize, sent: Rc<RefCell<Vec<u8>>>) -> Self {
        Self { answers: answers.iter().copied().collect(), read_len, sent }
    }
}

impl Read for Fake {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.read_len.min(buffer.len()).min(self.answers.len());
        self.answers.drain(..len).zip(buffer).for_each(|(from, to)| *to = from);
        Ok(len)
    }
}

impl Write for Fake {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sent.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
