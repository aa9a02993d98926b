//! Carrying out commands.

use crate::api::{Command, Layers, Micros, Path, SinkConfig, SourceConfig};
use crate::media::flow::{Flow, FlowStart};
use crate::media::output::Output;
use crate::media::sink::Sink;
use crate::media::source::Source;
use crate::media::tap::Tap;

use super::Core;
use super::ice::{Credentials, Ice};
use super::transport::{Binding, Transport};

/// Largest DTLS datagram.
const MAX_DTLS: usize = 1500;

impl Core {
    /// Carries out one command. One that names something gone is counted and does nothing.
    pub fn apply(&mut self, now: Micros, command: Command) {
        if self.try_apply(now, command).is_none() {
            self.counters.stale_commands += 1;
        }
    }

    fn try_apply(&mut self, now: Micros, command: Command) -> Option<()> {
        match command {
            Command::AddTransport { transport, local_ufrag, local_pwd } => {
                self.add_transport(transport.0, local_ufrag, &local_pwd)
            }
            Command::RestartIce { transport, local_ufrag, local_pwd } => {
                self.restart_ice(transport.0, local_ufrag, &local_pwd)
            }
            Command::SetRemoteIce { transport, remote_ufrag, .. } => {
                self.transports.by_id_mut(transport.0)?.ice.set_remote(remote_ufrag);
                Some(())
            }
            Command::SetMedia { transport, extensions, payloads } => {
                self.transports.by_id_mut(transport.0)?.set_media(extensions, &payloads);
                Some(())
            }
            Command::SetSrtp { transport, profile, receive_key, send_key } => {
                let index = self.transports.index(transport.0)?;
                let is_set =
                    self.transports.get_mut(index)?.set_srtp(profile, receive_key, send_key);
                self.schedule_transport(now, index);
                is_set.then_some(())
            }
            Command::SendDtls { transport, data } => self.send_dtls(now, transport.0, &data),
            Command::RemoveTransport { transport } => self.remove_transport(now, transport.0),
            Command::AddSource { source, transport, config } => {
                self.add_source(source.0, transport.map(|transport| transport.0), config)
            }
            Command::RemoveSource { source } => self.remove_source(source.0),
            Command::AddSink { sink, transport, source, config, layers } => {
                self.add_sink(now, [sink.0, transport.0, source.0], config, layers)
            }
            Command::RemoveSink { sink } => self.remove_sink(sink.0),
            Command::RemoveTap { tap } => self.remove_tap(tap.0),
            other => self.try_apply_media(now, other),
        }
    }

    fn try_apply_media(&mut self, now: Micros, command: Command) -> Option<()> {
        match command {
            Command::MuteSource { source, muted } => self.mute_source(now, source.0, muted),
            Command::SetLayers { sink, layers } => self.set_layers(now, sink.0, layers),
            Command::SetBudget { transport, rate_bps } => {
                self.set_budget(now, transport.0, rate_bps)
            }
            Command::LimitUplink { transport, rate_bps } => {
                self.limit_uplink(now, transport.0, rate_bps)
            }
            Command::Probe { transport, probe, rate_bps, duration_us } => {
                self.start_probe(now, transport.0, probe, rate_bps, duration_us)
            }
            Command::SetProtection { sink, copies } => self.set_protection(sink.0, copies),
            Command::RequestKeyframe { source, encoding } => {
                let index = self.sources.index(source.0)?;
                self.want_key(now, index, encoding);
                Some(())
            }
            Command::AddTap { tap, source, max_bytes, is_lowest } => {
                let index = self.sources.index(source.0)?;
                let at = self.taps.insert(tap.0, Tap::new(tap.0, index, max_bytes, is_lowest))?;
                self.sources.get_mut(index)?.taps.push(at);
                self.want_key(now, index, 255);
                Some(())
            }
            Command::PushFrame { source, encoding, codec, ts_rtp, data } => {
                self.push_frame(now, source.0, encoding, codec, ts_rtp, &data)
            }
            Command::SetSpeakerGroup { source, group } => {
                self.set_speaker_group(now, source.0, group)
            }
            Command::SetGroupSize { group, size } => self.set_group_size(now, group, size),
            Command::WatchLines { transports } => {
                for id in transports {
                    if let Some(transport) = self.transports.by_id_mut(id.0) {
                        transport.is_watched = true;
                    }
                }
                Some(())
            }
            Command::SetRed { sink, num_earlier } => {
                self.sinks.by_id_mut(sink.0)?.output.set_red(num_earlier);
                Some(())
            }
            _ => None,
        }
    }

    fn add_transport(&mut self, id: u32, ufrag: String, password: &str) -> Option<()> {
        if self.by_ufrag.contains_key(ufrag.as_bytes()) {
            return None;
        }
        let own_ssrc = self.random.next_u32() | 1;
        let ice = Ice::new(Credentials::new(ufrag.clone(), password));
        let index = self.transports.insert(id, Transport::new(id, ice, own_ssrc))?;
        self.by_ufrag.insert(ufrag.into_bytes(), index);
        Some(())
    }

    fn restart_ice(&mut self, id: u32, ufrag: String, password: &str) -> Option<()> {
        let index = self.transports.index(id)?;
        if self.by_ufrag.get(ufrag.as_bytes()).is_some_and(|&owner| owner != index) {
            return None;
        }
        let credentials = Credentials::new(ufrag.clone(), password);
        self.transports.get_mut(index)?.ice.restart(credentials);
        self.by_ufrag.insert(ufrag.into_bytes(), index);
        self.forget_old_ufrags(index);
        Some(())
    }

    fn send_dtls(&mut self, now: Micros, id: u32, data: &[u8]) -> Option<()> {
        let transport = self.transports.by_id_mut(id)?;
        let path = transport.ice.selected();
        let Some(path) = path.filter(|_| data.len() <= MAX_DTLS) else {
            self.counters.dropped_replies += 1;
            return Some(());
        };
        transport.pacer.on_sent_data(now, data.len() as u64);
        self.replies.push(path, data.len(), &mut self.counters, |room| {
            room.copy_from_slice(data);
            Some(data.len())
        });
        Some(())
    }

    fn remove_transport(&mut self, now: Micros, id: u32) -> Option<()> {
        let index = self.transports.index(id)?;
        let transport = self.transports.get(index)?;
        let sources: Vec<u32> =
            transport.sources.iter().filter_map(|&at| Some(self.sources.get(at)?.id)).collect();
        let sinks: Vec<u32> =
            transport.sinks.iter().filter_map(|&at| Some(self.sinks.get(at)?.id)).collect();
        for sink in sinks {
            self.remove_sink(sink);
        }
        for source in sources {
            self.remove_source(source);
        }
        self.transports.remove(id);
        self.paced.remove(index);
        self.by_ufrag.retain(|_, &mut owner| owner != index);
        let is_its = |&(_, owner): &(&Path, &u32)| *owner == index;
        let paths: Vec<Path> = self.by_path.iter().filter(is_its).map(|(path, _)| *path).collect();
        for path in paths {
            self.by_path.remove(&path);
            self.give_up(path);
        }
        self.timers.schedule(index, now);
        Some(())
    }

    fn add_source(&mut self, id: u32, transport: Option<u32>, config: SourceConfig) -> Option<()> {
        let transport = match transport {
            Some(transport) => Some(self.transports.index(transport)?),
            None => None,
        };
        let index = self.sources.insert(id, Source::new(id, transport, config))?;
        if let Some(transport) = transport.and_then(|transport| self.transports.get_mut(transport))
        {
            transport.sources.push(index);
            bind_declared(transport, self.sources.get_mut(index)?, index);
        }
        Some(())
    }

    fn remove_source(&mut self, id: u32) -> Option<()> {
        self.leave_group(self.sources.index(id)?);
        let (index, source) = self.sources.remove(id)?;
        if let Some(transport) =
            source.transport.and_then(|transport| self.transports.get_mut(transport))
        {
            transport.unbind_source(index, &source);
        }
        for sink in source.sinks {
            if let Some(sink) = self.sinks.get_mut(sink) {
                sink.source = None;
                sink.flow.stop();
            }
        }
        for tap in source.taps {
            if let Some(tap) = self.taps.get_mut(tap) {
                tap.source = None;
            }
        }
        self.dirty.retain(|&at| at != index);
        Some(())
    }

    fn add_sink(
        &mut self,
        now: Micros,
        ids: [u32; 3],
        config: SinkConfig,
        layers: Layers,
    ) -> Option<()> {
        let [id, transport_id, source_id] = ids;
        let transport = self.transports.index(transport_id)?;
        let source_index = self.sources.index(source_id)?;
        let ssrc = config.ssrc;
        let fresh = FlowStart {
            out_seq_ext: u64::from(self.random.next_u16() & 0x7fff),
            out_ts: self.random.next_u32(),
            used_us: None,
        };
        let rtx_fresh = self.random.next_u16() & 0x7fff;
        let peer = self.transports.get_mut(transport)?;
        let start = peer.revive(ssrc).unwrap_or(fresh);
        let rtx_seq =
            peer.revive(config.rtx_ssrc).map_or(rtx_fresh, |start| start.out_seq_ext as u16);
        let source = self.sources.get_mut(source_index)?;
        let mut flow = Flow::new(source.is_audio, layers, start);
        flow.choose_target(now, &source.encodings);
        let sink = Sink {
            id,
            source_id,
            source: Some(source_index),
            transport,
            flow,
            output: Output::new(config, rtx_seq),
            is_listed_busy: false,
            started_us: None,
        };
        let index = self.sinks.insert(id, sink)?;
        source.sinks.push(index);
        self.transports.get_mut(transport)?.sinks.push(index);
        self.mark_busy(index);
        Some(())
    }

    fn remove_sink(&mut self, id: u32) -> Option<()> {
        let (index, sink) = self.sinks.remove(id)?;
        if let Some(transport) = self.transports.get_mut(sink.transport) {
            transport.sinks.retain(|&at| at != index);
            transport.num_asked = 0;
            transport.held.retain(|asked| asked.sink != index);
            transport.retire(sink.output.ssrc, sink.flow.next_start());
            if sink.output.rtx_ssrc != 0 {
                let rtx = FlowStart {
                    out_seq_ext: u64::from(sink.output.rtx_seq),
                    out_ts: 0,
                    used_us: None,
                };
                transport.retire(sink.output.rtx_ssrc, rtx);
            }
        }
        if let Some(source) = sink.source.and_then(|source| self.sources.get_mut(source)) {
            source.sinks.retain(|&at| at != index);
        }
        self.busy.retain(|&at| at != index);
        self.asked.retain(|asked| asked.sink != index);
        Some(())
    }

    fn remove_tap(&mut self, id: u32) -> Option<()> {
        let (index, tap) = self.taps.remove(id)?;
        if let Some(source) = tap.source.and_then(|source| self.sources.get_mut(source)) {
            source.taps.retain(|&at| at != index);
        }
        Some(())
    }

    fn mute_source(&mut self, now: Micros, id: u32, is_muted: bool) -> Option<()> {
        let index = self.sources.index(id)?;
        let source = self.sources.get_mut(index)?;
        if std::mem::replace(&mut source.is_muted, is_muted) == is_muted {
            return Some(());
        }
        source.encodings.iter_mut().for_each(|encoding| encoding.on_mute());
        if is_muted {
            self.give_up_place(now, index);
        }
        let num_sinks = self.sources.get(index)?.sinks.len();
        for at in 0..num_sinks {
            let sink = self.sources.get(index)?.sinks[at];
            if let Some(sink) = self.sinks.get_mut(sink) {
                sink.flow.stop();
            }
            self.mark_busy(sink);
        }
        if !is_muted {
            self.want_key(now, index, 255);
        }
        Some(())
    }

    fn set_layers(&mut self, now: Micros, id: u32, layers: Layers) -> Option<()> {
        let index = self.sinks.index(id)?;
        let sink = self.sinks.get_mut(index)?;
        sink.flow.set_layers(layers);
        if let Some(source) = sink.source.and_then(|source| self.sources.get(source)) {
            sink.flow.choose_target(now, &source.encodings);
        }
        self.mark_busy(index);
        Some(())
    }

    /// Every 50 ms: sinks follow encodings that came or went, waiting taps look again.
    pub(super) fn tick(&mut self, now: Micros) {
        self.is_busy_due = true;
        for (_, source) in self.sources.iter_mut() {
            if !source.has_activity_changed(now) {
                continue;
            }
            for &index in &source.sinks {
                let Some(sink) = self.sinks.get_mut(index) else {
                    continue;
                };
                sink.flow.choose_target(now, &source.encodings);
                if sink.flow.is_busy() && !sink.is_listed_busy {
                    sink.is_listed_busy = true;
                    self.busy.push(index);
                }
            }
        }
        self.tick_taps(now);
    }
}

/// SSRCs that the publisher declared are known before their first packet.
fn bind_declared(transport: &mut Transport, source: &mut Source, index: u32) {
    for (at, encoding) in source.encodings.iter_mut().enumerate() {
        let place = |ssrc, is_rtx| Binding {
            ssrc,
            source: index,
            encoding: at as u8,
            is_rtx,
            is_announced: false,
        };
        let (ssrc, rtx_ssrc) = (encoding.config.ssrc, encoding.config.rtx_ssrc);
        if ssrc != 0 && transport.binding(ssrc).is_none() && transport.bind(place(ssrc, false)) {
            encoding.ssrc = ssrc;
        }
        if rtx_ssrc != 0
            && transport.binding(rtx_ssrc).is_none()
            && transport.bind(place(rtx_ssrc, true))
        {
            encoding.rtx_ssrc = rtx_ssrc;
        }
    }
}
