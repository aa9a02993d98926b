#![no_main]

use std::io::{self, Read, Write};

use aislecast_engine::net::framing::{FrameReader, ReadOutcome, SCRATCH_BYTES, SendQueue};
use libfuzzer_sys::fuzz_target;

/// Bytes of the input that say how a stream is cut; 0 = nothing comes, or leaves, now.
const NUM_STEPS: usize = 8;

struct Cut<'a> {
    data: &'a [u8],
    written: Vec<u8>,
    steps: std::iter::Cycle<std::slice::Iter<'a, u8>>,
}

impl Cut<'_> {
    fn step(&mut self) -> io::Result<usize> {
        match self.steps.next() {
            None | Some(0) => Err(io::ErrorKind::WouldBlock.into()),
            Some(255) => Err(io::ErrorKind::Interrupted.into()),
            Some(step) => Ok(usize::from(*step) * 4),
        }
    }
}

impl Read for Cut<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let count = self.step()?.min(room.len()).min(self.data.len());
        let (head, tail) = self.data.split_at(count);
        room[..count].copy_from_slice(head);
        self.data = tail;
        Ok(count)
    }
}

impl Write for Cut<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = self.step()?.min(data.len());
        self.written.extend(&data[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whole frames that are not empty.
fn frames_of(mut data: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let Some((len, rest)) = data.split_first_chunk::<2>() {
        let Some((frame, rest)) = rest.split_at_checked(u16::from_be_bytes(*len).into()) else {
            break;
        };
        frames.extend(Some(frame).filter(|frame| !frame.is_empty()));
        data = rest;
    }
    frames
}

fuzz_target!(|data: &[u8]| {
    let Some((steps, data)) = data.split_at_checked(NUM_STEPS) else {
        return;
    };
    if steps.iter().all(|step| matches!(step, 0 | 255)) {
        return;
    }
    let expected = frames_of(data);
    let mut stream = Cut { data, written: Vec::new(), steps: steps.iter().cycle() };
    let (mut reader, mut scratch) = (FrameReader::default(), vec![0; SCRATCH_BYTES]);
    let (mut queue, mut num_found) = (SendQueue::default(), 0);
    loop {
        let outcome = reader.read(&mut stream, &mut scratch, 1024, |frame| {
            assert_eq!(frame, expected[num_found]);
            assert!(queue.push(0, frame));
            num_found += 1;
        });
        queue.write_to(&mut stream).expect("it only ever waits");
        match outcome {
            ReadOutcome::Drained | ReadOutcome::More => {}
            ReadOutcome::Garbage => break,
            ReadOutcome::Closed => {
                assert_eq!(num_found, expected.len());
                break;
            }
        }
    }
    while !queue.is_empty() {
        queue.write_to(&mut stream).expect("it only ever waits");
    }
    assert_eq!(frames_of(&stream.written), expected[..num_found]);
});
