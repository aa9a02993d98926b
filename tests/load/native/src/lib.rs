//! The packet half of the load tool: many light clients, one thread, one socket each.
//!
//! Python does signalling and DTLS; this does ICE checks, SRTP, RTP out of looped real media, and
//! checks and times everything that arrives.

mod pacing;
mod peer;
mod publish;
mod stats;
mod thread;

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};

use aislecast_engine::api::{Codec, ExtMap, SrtpProfile};
use aislecast_engine::wire::srtp::{SrtpReceiver, SrtpSender};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::pacing::Pacing;
use crate::publish::{EncodedFrame, Outgoing};
use crate::stats::Stats;
use crate::thread::{Command, Shared};

/// What Python hears: ("connected" | "picture", peer) or ("dtls", peer, bytes).
pub enum Event {
    Connected(u32),
    Picture(u32),
    Dtls(u32, Vec<u8>),
}

#[pyclass]
struct Load {
    shared: Arc<Shared>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    next_peer: Mutex<u32>,
}

impl Load {
    fn order(&self, command: Command) {
        self.shared.commands.lock().expect("no holder panics").push(command);
        // A thread that has ended has nothing left to wake for.
        let _ = self.shared.waker.wake();
    }
}

#[pymethods]
impl Load {
    #[new]
    fn new(pacing: &str) -> PyResult<Self> {
        let pacing = pacing.parse::<Pacing>().map_err(PyValueError::new_err)?;
        let (shared, poll) = Shared::new().map_err(|e| PyOSError::new_err(e.to_string()))?;
        let shared = Arc::new(shared);
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || thread::run(&shared, poll, pacing)
        });
        Ok(Self { shared, thread: Mutex::new(Some(thread)), next_peer: Mutex::new(0) })
    }

    #[getter]
    fn event_fd(&self) -> i32 {
        self.shared.event_fd.as_raw_fd()
    }

    fn add_peer(
        &self,
        ip: &str,
        port: u16,
        local_ufrag: &str,
        local_pwd: &str,
        remote_ufrag: &str,
        remote_pwd: &str,
    ) -> PyResult<u32> {
        let ip = ip.parse().map_err(|_| PyValueError::new_err("not an address"))?;
        let mut next = self.next_peer.lock().expect("no holder panics");
        *next += 1;
        self.order(Command::AddPeer {
            peer: *next,
            server: SocketAddr::new(ip, port),
            username: format!("{remote_ufrag}:{local_ufrag}"),
            local_pwd: local_pwd.to_owned(),
            remote_pwd: remote_pwd.to_owned(),
        });
        Ok(*next)
    }

    fn send_dtls(&self, peer: u32, data: Vec<u8>) {
        self.order(Command::SendDtls { peer, data });
    }

    fn set_srtp(
        &self,
        peer: u32,
        profile: &str,
        receive_key: &[u8],
        send_key: &[u8],
    ) -> PyResult<()> {
        let profile = match profile {
            "AEAD_AES_128_GCM" => SrtpProfile::AeadAes128Gcm,
            "AES_CM_128_HMAC_SHA1_80" => SrtpProfile::AesCm128HmacSha1_80,
            _ => return Err(PyValueError::new_err("unknown SRTP profile")),
        };
        let receiver = SrtpReceiver::new(profile, receive_key);
        let sender = SrtpSender::new(profile, send_key);
        let (Some(receiver), Some(sender)) = (receiver, sender) else {
            return Err(PyValueError::new_err("key of the wrong length"));
        };
        self.order(Command::SetSrtp { peer, keys: Box::new((receiver, sender)) });
        Ok(())
    }

    fn set_feedback(&self, peer: u32, twcc_id: u8) {
        self.order(Command::SetFeedback { peer, twcc_id });
    }

    #[allow(clippy::too_many_arguments)]
    fn publish_video(
        &self,
        peer: u32,
        mid: &str,
        mid_id: u8,
        rid_id: u8,
        twcc_id: u8,
        pt: u8,
        layers: Vec<(String, u32, Vec<EncodedFrame>)>,
        fps: f64,
    ) {
        let extensions = ExtMap { mid: mid_id, rid: rid_id, twcc: twcc_id, ..ExtMap::default() };
        let interval_us = (1e6 / fps) as u64;
        for (rid, ssrc, frames) in layers {
            self.order(Command::Publish {
                peer,
                track: Box::new(Outgoing::new(
                    ssrc,
                    Codec::Vp8,
                    pt,
                    mid.as_bytes().to_vec(),
                    rid.into_bytes(),
                    extensions,
                    frames,
                    interval_us,
                    self.shared.clock.now_us(),
                )),
            });
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn publish_audio(
        &self,
        peer: u32,
        mid: &str,
        mid_id: u8,
        level_id: u8,
        twcc_id: u8,
        pt: u8,
        ssrc: u32,
        packets: Vec<Vec<u8>>,
    ) {
        let extensions =
            ExtMap { mid: mid_id, audio_level: level_id, twcc: twcc_id, ..ExtMap::default() };
        let frames = packets.into_iter().map(|packet| (true, packet)).collect();
        self.order(Command::Publish {
            peer,
            track: Box::new(Outgoing::new(
                ssrc,
                Codec::Opus,
                pt,
                mid.as_bytes().to_vec(),
                Vec::new(),
                extensions,
                frames,
                20_000,
                self.shared.clock.now_us(),
            )),
        });
    }

    fn drain_events<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let mut count = [0u8; 8];
        // Nonblocking: an empty counter means the events were drained already.
        let _ = rustix::io::read(&self.shared.event_fd, &mut count);
        let events = std::mem::take(&mut *self.shared.events.lock().expect("no holder panics"));
        events
            .into_iter()
            .map(|event| match event {
                Event::Connected(peer) => Ok(("connected", peer).into_pyobject(py)?.into_any()),
                Event::Picture(peer) => Ok(("picture", peer).into_pyobject(py)?.into_any()),
                Event::Dtls(peer, data) => {
                    Ok(("dtls", peer, PyBytes::new(py, &data)).into_pyobject(py)?.into_any())
                }
            })
            .collect()
    }

    fn reset_stats(&self, py: Python<'_>) {
        py.detach(|| self.shared.take_stats(&|command| self.order(command)));
    }

    /// Sums since the last reset; resets them.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats: Stats = py.detach(|| self.shared.take_stats(&|command| self.order(command)));
        let dict = PyDict::new(py);
        for (name, value) in [
            ("packets", stats.packets),
            ("bytes", stats.bytes),
            ("lost", stats.lost),
            ("duplicated", stats.duplicated),
            ("reordered", stats.reordered),
            ("undecryptable", stats.undecryptable),
        ] {
            dict.set_item(name, value)?;
        }
        let delays: Vec<u8> = stats.delays_us.iter().flat_map(|d| d.to_ne_bytes()).collect();
        dict.set_item("delays_us", PyBytes::new(py, &delays))?;
        Ok(dict)
    }

    fn close(&self, py: Python<'_>) {
        self.order(Command::Stop);
        if let Some(thread) = self.thread.lock().expect("no holder panics").take() {
            let _ = py.detach(|| thread.join());
        }
    }
}

#[pymodule]
fn aislecast_load(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Load>()
}
