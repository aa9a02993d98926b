//! `Engine`: sockets and the media thread.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use super::EngineError;
use super::convert::{self, PayloadTuple};
use super::orders::Ids;
use crate::api::{Command, Layers, SinkConfig, SinkId, SourceId, TapId, TransportId};
use crate::net::{self, Kind, Refused};

/// Sockets and the media thread. Bind errors raise OSError.
#[pyclass(frozen, module = "sfu.engine._native")]
pub struct Engine {
    inner: net::Engine,
    ids: Ids,
}

impl Engine {
    fn order(&self, py: Python<'_>, command: Command) -> PyResult<()> {
        let pushed = py.detach(|| self.inner.exchange().push_command(command));
        pushed.map_err(|refused| match refused {
            Refused::Dead => EngineError::new_err("the engine is closed or dead"),
            Refused::Full => EngineError::new_err("too many orders wait for the engine"),
        })
    }

    fn rows<'py>(&self, py: Python<'py>, kind: Kind) -> Bound<'py, PyBytes> {
        let rows = py.detach(|| self.inner.exchange().snapshot(kind));
        PyBytes::new(py, &rows)
    }
}

py_engine_methods!(Engine {
    #[new]
    fn new(udp: Vec<(String, u16)>, tcp: Vec<(String, u16)>) -> PyResult<Engine> {
        let parse = |all: Vec<_>| all.into_iter().map(convert::socket_addr).collect();
        let (udp, tcp): (PyResult<Vec<_>>, PyResult<Vec<_>>) = (parse(udp), parse(tcp));
        let inner = net::Engine::start(&udp?, &tcp?)?;
        Ok(Engine { inner, ids: Ids::default() })
    }

    #[getter]
    fn udp_ports(&self) -> Vec<u16> {
        self.inner.udp().iter().map(std::net::SocketAddr::port).collect()
    }

    #[getter]
    fn tcp_ports(&self) -> Vec<u16> {
        self.inner.tcp().iter().map(std::net::SocketAddr::port).collect()
    }

    #[getter]
    fn event_fd(&self) -> i32 {
        self.inner.event_fd()
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.inner.close());
    }

    fn now_us(&self) -> u64 {
        self.inner.exchange().now_us()
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
        // Half of the bound for frames in the core, half for those that wait for Python.
        let max_bytes = max_bytes / 2;
        py.detach(|| self.inner.exchange().taps().add(TapId(id), max_bytes as usize));
        let (tap, source) = (TapId(id), SourceId(source));
        self.order(py, Command::AddTap { tap, source, max_bytes, is_lowest: lowest })?;
        Ok(id)
    }

    fn remove_tap(&self, py: Python<'_>, tap: u32) -> PyResult<()> {
        py.detach(|| self.inner.exchange().taps().remove(TapId(tap)));
        self.order(py, Command::RemoveTap { tap: TapId(tap) })
    }

    #[pyo3(signature = (tap, max_frames=1000))]
    fn drain_tap(&self, py: Python<'_>, tap: u32, max_frames: usize) -> PyResult<Py<PyList>> {
        let frames = py.detach(|| self.inner.exchange().drain_tap(TapId(tap), max_frames));
        convert::frames(py, frames)
    }

    fn drain_events(&self, py: Python<'_>) -> PyResult<Py<PyList>> {
        let notices = py.detach(|| self.inner.exchange().drain_events());
        convert::notices(py, notices)
    }

    fn snapshot_transports<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.rows(py, Kind::Transports)
    }

    fn snapshot_encodings<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.rows(py, Kind::Encodings)
    }

    fn snapshot_sinks<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.rows(py, Kind::Sinks)
    }

    fn drain_twcc<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.rows(py, Kind::Twcc)
    }

    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = py.detach(|| self.inner.counters());
        let dict = PyDict::new(py);
        for (name, value) in counters {
            dict.set_item(name, value)?;
        }
        Ok(dict)
    }
});
