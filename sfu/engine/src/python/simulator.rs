//! `Simulator`: the same core, driven by the caller's clock.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use super::convert::{self, PayloadTuple};
use super::orders::Ids;
use crate::api::{
    Command, Layers, Local, Micros, Path, SinkConfig, SinkId, SourceId, TapId, TransportId,
};
use crate::core::{Core, Egress};
use crate::net::Notice;

struct State {
    core: Core,
    /// The latest time given; orders happen at it.
    now: Micros,
}

/// The same core without sockets or threads, driven by the caller's clock.
#[pyclass(frozen, module = "sfu.engine._native")]
pub struct Simulator {
    // PyO3 classes are shared between threads; nobody ever waits for this lock.
    state: Mutex<State>,
    ids: Ids,
}

impl Simulator {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn order(&self, _py: Python<'_>, command: Command) -> PyResult<()> {
        let mut state = self.state();
        let now = state.now;
        state.core.apply(now, command);
        Ok(())
    }

    fn rows<'py>(
        &self,
        py: Python<'py>,
        snapshot: impl FnOnce(&mut Core, Micros, &mut Vec<u8>),
    ) -> Bound<'py, PyBytes> {
        let mut state = self.state();
        let (now, mut rows) = (state.now, Vec::new());
        snapshot(&mut state.core, now, &mut rows);
        PyBytes::new(py, &rows)
    }
}

/// Collects datagrams instead of sending them; bundles come apart.
#[derive(Default)]
struct Outbox(Vec<(SocketAddr, Vec<u8>)>);

impl Egress for Outbox {
    fn send(&mut self, path: Path, data: &[u8], segment: Option<usize>) {
        for datagram in data.chunks(segment.unwrap_or(data.len()).max(1)) {
            self.0.push((path.remote, datagram.to_vec()));
        }
    }
}

py_engine_methods!(Simulator {
    #[new]
    fn new(seed: u64) -> Simulator {
        let state = State { core: Core::new(seed), now: 0 };
        Simulator { state: Mutex::new(state), ids: Ids::default() }
    }

    fn handle_datagram(
        &self,
        now_us: Micros,
        remote: (String, u16),
        data: Vec<u8>,
    ) -> PyResult<()> {
        let path = Path { local: Local::Udp(0), remote: convert::socket_addr(remote)? };
        let mut state = self.state();
        state.now = state.now.max(now_us);
        let (now, mut data) = (state.now, data);
        state.core.handle_datagram(now, path, &mut data);
        Ok(())
    }

    fn poll(&self, py: Python<'_>, now_us: Micros) -> PyResult<Vec<(String, u16, Py<PyBytes>)>> {
        let mut outbox = Outbox::default();
        {
            let mut state = self.state();
            state.now = state.now.max(now_us);
            let now = state.now;
            if state.core.next_timeout() <= now {
                state.core.handle_timeout(now);
            }
            state.core.flush(now, &mut outbox);
        }
        let to_tuple = |(remote, data): (SocketAddr, Vec<u8>)| {
            (remote.ip().to_string(), remote.port(), PyBytes::new(py, &data).unbind())
        };
        Ok(outbox.0.into_iter().map(to_tuple).collect())
    }

    fn next_timeout_us(&self) -> Micros {
        self.state().core.next_timeout()
    }

    #[pyo3(signature = (source, max_bytes=8_000_000, lowest=false))]
    fn add_tap(
        &self,
        py: Python<'_>,
        source: u32,
        max_bytes: u32,
        lowest: bool,
    ) -> PyResult<u32> {
        let id = self.ids.next();
        let (tap, source) = (TapId(id), SourceId(source));
        self.order(py, Command::AddTap { tap, source, max_bytes, is_lowest: lowest })?;
        Ok(id)
    }

    fn remove_tap(&self, py: Python<'_>, tap: u32) -> PyResult<()> {
        self.order(py, Command::RemoveTap { tap: TapId(tap) })
    }

    #[pyo3(signature = (tap, max_frames=1000))]
    fn drain_tap(&self, py: Python<'_>, tap: u32, max_frames: usize) -> PyResult<Py<PyList>> {
        let mut frames = Vec::new();
        self.state().core.drain_tap(TapId(tap), max_frames, &mut frames);
        convert::frames(py, frames)
    }

    fn drain_events(&self, py: Python<'_>) -> PyResult<Py<PyList>> {
        let mut state = self.state();
        let events = std::iter::from_fn(|| state.core.poll_event()).map(Notice::Core);
        convert::notices(py, events)
    }

    fn snapshot_transports<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.rows(py, |core, now, rows| core.snapshot_transports(now, rows))
    }

    fn snapshot_encodings<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.rows(py, |core, now, rows| core.snapshot_encodings(now, rows))
    }

    fn snapshot_sinks<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.rows(py, |core, now, rows| core.snapshot_sinks(now, rows))
    }

    fn drain_twcc<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.rows(py, |core, _, rows| core.drain_twcc(rows))
    }

    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (name, value) in self.state().core.counters().named() {
            dict.set_item(name, value)?;
        }
        Ok(dict)
    }
});
