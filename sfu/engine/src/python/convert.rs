//! Python values to commands, events and frames to Python values.

use std::net::{IpAddr, SocketAddr};

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use super::EngineError;
use crate::api::{
    Codec, EncodingConfig, Event, ExtMap, Local, Path, Payload, SourceConfig, SrtpProfile, TapFrame,
};
use crate::net::Notice;

/// (pt, codec, rtx_pt or 0)
pub type PayloadTuple = (u8, u8, u8);

fn invalid(what: String) -> PyErr {
    EngineError::new_err(what)
}

/// Codec by its number.
pub fn codec(number: u8) -> PyResult<Codec> {
    Ok(match number {
        1 => Codec::Opus,
        2 => Codec::Red,
        3 => Codec::Vp8,
        4 => Codec::H264,
        5 => Codec::Vp9,
        6 => Codec::Av1,
        other => return Err(invalid(format!("no codec has the number {other}"))),
    })
}

/// Payload types 0..=127.
pub fn payloads(tuples: Vec<PayloadTuple>) -> PyResult<Vec<Payload>> {
    let convert = |(pt, number, rtx_pt): PayloadTuple| {
        if pt > 127 || rtx_pt > 127 {
            return Err(invalid(format!("payload type out of range: {pt}, {rtx_pt}")));
        }
        Ok(Payload { pt, codec: codec(number)?, rtx_pt })
    };
    tuples.into_iter().map(convert).collect()
}

/// Extension ids by field name of `ExtMap`.
pub fn extensions(dict: &Bound<'_, PyDict>) -> PyResult<ExtMap> {
    let mut map = ExtMap::default();
    for (key, value) in dict {
        let (name, id): (String, u8) = (key.extract()?, value.extract()?);
        let field = match name.as_str() {
            "mid" => &mut map.mid,
            "rid" => &mut map.rid,
            "repaired_rid" => &mut map.repaired_rid,
            "audio_level" => &mut map.audio_level,
            "twcc" => &mut map.twcc,
            "abs_send_time" => &mut map.abs_send_time,
            "abs_capture_time" => &mut map.abs_capture_time,
            "video_orientation" => &mut map.video_orientation,
            "dependency" => &mut map.dependency,
            _ => return Err(invalid(format!("no header extension is called {name}"))),
        };
        *field = id;
    }
    Ok(map)
}

/// Profile by its RFC name, with keys of the length it needs.
pub fn srtp_profile(name: &str, receive_key: &[u8], send_key: &[u8]) -> PyResult<SrtpProfile> {
    let (profile, length) = match name {
        "AEAD_AES_128_GCM" => (SrtpProfile::AeadAes128Gcm, 28),
        "AES_CM_128_HMAC_SHA1_80" => (SrtpProfile::AesCm128HmacSha1_80, 30),
        _ => return Err(invalid(format!("no SRTP profile is called {name}"))),
    };
    if receive_key.len() != length || send_key.len() != length {
        return Err(invalid(format!("{name} takes keys of {length} bytes")));
    }
    Ok(profile)
}

/// A source of one to three encodings.
pub fn source_config(
    mid: String,
    is_audio: bool,
    encodings: Vec<(String, u32, u32)>,
) -> PyResult<SourceConfig> {
    if !(1..=3).contains(&encodings.len()) {
        return Err(invalid("a source has one to three encodings".into()));
    }
    let encodings = encodings
        .into_iter()
        .map(|(rid, ssrc, rtx_ssrc)| EncodingConfig { rid, ssrc, rtx_ssrc })
        .collect();
    Ok(SourceConfig { mid, is_audio, encodings })
}

/// (ip, port)
pub fn socket_addr((ip, port): (String, u16)) -> PyResult<SocketAddr> {
    let ip: IpAddr = ip.parse().map_err(|_| invalid(format!("not an IP address: {ip}")))?;
    Ok(SocketAddr::new(ip, port))
}

/// One event tuple.
pub fn notice(py: Python<'_>, notice: Notice) -> PyResult<Py<PyAny>> {
    match notice {
        Notice::Dead => ("dead",).into_py_any(py),
        Notice::Core(Event::Dtls { transport, data }) => {
            ("dtls", transport.0, PyBytes::new(py, &data)).into_py_any(py)
        }
        Notice::Core(Event::Transport { transport, state, path }) => {
            let (proto, ip, port) = match path {
                Some(Path { local, remote }) => {
                    let proto = if matches!(local, Local::Tcp(_)) { "tcp" } else { "udp" };
                    (proto, remote.ip().to_string(), remote.port())
                }
                None => ("", String::new(), 0),
            };
            ("transport", transport.0, state as u8, proto, ip, port).into_py_any(py)
        }
        Notice::Core(Event::EncodingStarted { source, encoding, ssrc, codec }) => {
            ("encoding", source.0, encoding, ssrc, codec as u8).into_py_any(py)
        }
        Notice::Core(Event::SinkStarted { sink }) => ("sink", sink.0).into_py_any(py),
        Notice::Core(Event::TapReady { tap }) => ("tap", tap.0).into_py_any(py),
        Notice::Core(Event::LineRestless { transport }) => {
            ("restless", transport.0).into_py_any(py)
        }
        Notice::Core(Event::UplinkFell { transport, rate_bps }) => {
            ("uplink", transport.0, rate_bps).into_py_any(py)
        }
        Notice::Core(Event::KeyWanted { source, encoding }) => {
            ("key", source.0, encoding).into_py_any(py)
        }
    }
}

/// Event tuples, oldest first.
pub fn notices(py: Python<'_>, all: impl IntoIterator<Item = Notice>) -> PyResult<Py<PyList>> {
    let list = PyList::empty(py);
    for one in all {
        list.append(notice(py, one)?)?;
    }
    Ok(list.unbind())
}

/// Frame tuples, oldest first.
pub fn frames(py: Python<'_>, all: Vec<TapFrame>) -> PyResult<Py<PyList>> {
    let list = PyList::empty(py);
    for frame in all {
        let tuple: Bound<'_, PyTuple> = (
            frame.ts_rtp_ext,
            frame.arrived_us,
            frame.captured_us,
            frame.is_key,
            frame.encoding,
            frame.codec as u8,
            frame.lost_before,
            PyBytes::new(py, &frame.data),
        )
            .into_pyobject(py)?;
        list.append(tuple)?;
    }
    Ok(list.unbind())
}
