//! The orders that `Engine` and `Simulator` share. PyO3 wants all methods of a class in one block,
//! so this is a macro around it; a class adds its own methods as arguments.

use std::sync::atomic::{AtomicU32, Ordering};

/// Hands out identifiers from 1 on, never twice.
#[derive(Debug, Default)]
pub struct Ids(AtomicU32);

impl Ids {
    /// The next one.
    pub fn next(&self) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// `$class` has `fn order(&self, py: Python<'_>, command: Command) -> PyResult<()>` and `ids: Ids`.
macro_rules! py_engine_methods {
    ($class:ty { $($own:tt)* }) => {
        #[pymethods]
        impl $class {
            $($own)*

            fn add_transport(
                &self,
                py: Python<'_>,
                local_ufrag: String,
                local_pwd: String,
            ) -> PyResult<u32> {
                let id = self.ids.next();
                let transport = TransportId(id);
                self.order(py, Command::AddTransport { transport, local_ufrag, local_pwd })?;
                Ok(id)
            }

            fn restart_ice(
                &self,
                py: Python<'_>,
                transport: u32,
                local_ufrag: String,
                local_pwd: String,
            ) -> PyResult<()> {
                let transport = TransportId(transport);
                self.order(py, Command::RestartIce { transport, local_ufrag, local_pwd })
            }

            fn set_remote_ice(
                &self,
                py: Python<'_>,
                transport: u32,
                remote_ufrag: String,
                remote_pwd: String,
            ) -> PyResult<()> {
                let transport = TransportId(transport);
                self.order(py, Command::SetRemoteIce { transport, remote_ufrag, remote_pwd })
            }

            fn set_media(
                &self,
                py: Python<'_>,
                transport: u32,
                extensions: &Bound<'_, PyDict>,
                payloads: Vec<PayloadTuple>,
            ) -> PyResult<()> {
                let extensions = convert::extensions(extensions)?;
                let payloads = convert::payloads(payloads)?;
                let transport = TransportId(transport);
                self.order(py, Command::SetMedia { transport, extensions, payloads })
            }

            fn set_srtp(
                &self,
                py: Python<'_>,
                transport: u32,
                profile: &str,
                receive_key: Vec<u8>,
                send_key: Vec<u8>,
            ) -> PyResult<()> {
                let profile = convert::srtp_profile(profile, &receive_key, &send_key)?;
                let transport = TransportId(transport);
                self.order(py, Command::SetSrtp { transport, profile, receive_key, send_key })
            }

            fn send_dtls(&self, py: Python<'_>, transport: u32, data: &[u8]) -> PyResult<()> {
                let transport = TransportId(transport);
                self.order(py, Command::SendDtls { transport, data: data.to_vec() })
            }

            fn remove_transport(&self, py: Python<'_>, transport: u32) -> PyResult<()> {
                self.order(py, Command::RemoveTransport { transport: TransportId(transport) })
            }

            fn add_source(
                &self,
                py: Python<'_>,
                transport: Option<u32>,
                mid: String,
                is_audio: bool,
                encodings: Vec<(String, u32, u32)>,
            ) -> PyResult<u32> {
                let config = convert::source_config(mid, is_audio, encodings)?;
                let (id, transport) = (self.ids.next(), transport.map(TransportId));
                self.order(py, Command::AddSource { source: SourceId(id), transport, config })?;
                Ok(id)
            }

            fn mute_source(&self, py: Python<'_>, source: u32, muted: bool) -> PyResult<()> {
                self.order(py, Command::MuteSource { source: SourceId(source), muted })
            }

            fn remove_source(&self, py: Python<'_>, source: u32) -> PyResult<()> {
                self.order(py, Command::RemoveSource { source: SourceId(source) })
            }

            #[allow(clippy::too_many_arguments)] // the signature of _native.pyi
            fn add_sink(
                &self,
                py: Python<'_>,
                transport: u32,
                source: u32,
                ssrc: u32,
                rtx_ssrc: u32,
                mid: String,
                payloads: Vec<PayloadTuple>,
                spatial: u8,
                temporal: u8,
                paused: bool,
            ) -> PyResult<u32> {
                let payloads = convert::payloads(payloads)?;
                let id = self.ids.next();
                let command = Command::AddSink {
                    sink: SinkId(id),
                    transport: TransportId(transport),
                    source: SourceId(source),
                    config: SinkConfig { ssrc, rtx_ssrc, mid, payloads },
                    layers: Layers { spatial, temporal, paused },
                };
                self.order(py, command)?;
                Ok(id)
            }

            fn set_layers(
                &self,
                py: Python<'_>,
                sink: u32,
                spatial: u8,
                temporal: u8,
                paused: bool,
            ) -> PyResult<()> {
                let layers = Layers { spatial, temporal, paused };
                self.order(py, Command::SetLayers { sink: SinkId(sink), layers })
            }

            fn set_speaker_group(
                &self,
                py: Python<'_>,
                source: u32,
                group: u32,
            ) -> PyResult<()> {
                self.order(py, Command::SetSpeakerGroup { source: SourceId(source), group })
            }

            fn watch_lines(&self, py: Python<'_>, transports: Vec<u32>) -> PyResult<()> {
                let transports = transports.into_iter().map(TransportId).collect();
                self.order(py, Command::WatchLines { transports })
            }

            fn set_group_size(&self, py: Python<'_>, group: u32, size: u8) -> PyResult<()> {
                self.order(py, Command::SetGroupSize { group, size })
            }

            fn set_red(&self, py: Python<'_>, sink: u32, num_earlier: u8) -> PyResult<()> {
                self.order(py, Command::SetRed { sink: SinkId(sink), num_earlier })
            }

            fn set_budget(&self, py: Python<'_>, transport: u32, rate_bps: u32) -> PyResult<()> {
                let transport = TransportId(transport);
                self.order(py, Command::SetBudget { transport, rate_bps })
            }

            fn limit_uplink(
                &self,
                py: Python<'_>,
                transport: u32,
                rate_bps: u32,
            ) -> PyResult<()> {
                let transport = TransportId(transport);
                self.order(py, Command::LimitUplink { transport, rate_bps })
            }

            fn probe(
                &self,
                py: Python<'_>,
                transport: u32,
                probe: u32,
                rate_bps: u32,
                duration_us: u32,
            ) -> PyResult<()> {
                let transport = TransportId(transport);
                self.order(py, Command::Probe { transport, probe, rate_bps, duration_us })
            }

            fn set_protection(&self, py: Python<'_>, sink: u32, copies: u8) -> PyResult<()> {
                self.order(py, Command::SetProtection { sink: SinkId(sink), copies })
            }

            fn remove_sink(&self, py: Python<'_>, sink: u32) -> PyResult<()> {
                self.order(py, Command::RemoveSink { sink: SinkId(sink) })
            }

            #[pyo3(signature = (source, encoding=255))]
            fn request_keyframe(&self, py: Python<'_>, source: u32, encoding: u8) -> PyResult<()> {
                self.order(py, Command::RequestKeyframe { source: SourceId(source), encoding })
            }

            fn push_frame(
                &self,
                py: Python<'_>,
                source: u32,
                encoding: u8,
                codec: u8,
                ts_rtp: u32,
                data: &[u8],
            ) -> PyResult<()> {
                let codec = convert::codec(codec)?;
                let (source, data) = (SourceId(source), data.to_vec());
                self.order(py, Command::PushFrame { source, encoding, codec, ts_rtp, data })
            }
        }
    };
}
