//! Packets on the retransmission stream that nobody asked for: copies in advance, and what fills
//! probes.

use crate::api::Micros;
use crate::media::flow::Content;
use crate::media::sink::Sink;
use crate::media::source::Source;
use crate::media::twcc::Sort;

use super::bundle::{Bundle, Exit};
use super::compose::{Values, write_padding};
use super::fanout::{Recalled, Step, send_recalled};
use super::transport::Transport;

/// Copies sent per sink and service.
const MAX_AT_ONCE: usize = 32;

/// Sends the copies that are due and for which there is room; returns when the next one is due.
pub fn send_copies(
    step: Step<'_>,
    source: &Source,
    sink: &mut Sink,
    transport: &mut Transport,
    bundle: &mut Bundle,
) -> Option<Micros> {
    if source.is_muted || transport.media_path().is_none() {
        return None;
    }
    let Step { now, egress, counters } = step;
    for _ in 0..MAX_AT_ONCE {
        let due_us = sink.output.next_copy_us(now)?;
        if due_us > now {
            return Some(due_us);
        }
        let pace = transport.pacer.pace(now, transport.rtt_us);
        // A probe is filled with anything: the copies that are due are the best of it.
        let is_probing = transport.pacer.cluster.is_some();
        let has_room = pace.is_none_or(|pace| (is_probing || pace.room > 0) && !pace.is_held);
        let is_plenty = transport.pacer.is_plenty();
        let Some((at, outgoing)) = sink.output.take_copy(now, &sink.flow) else {
            continue;
        };
        // With little room the copies go to what all other pictures need.
        let view = match outgoing.content {
            Content::Stored(seq_ext) => source.encodings[usize::from(at)].ring.view(seq_ext),
            _ => None,
        };
        let is_vital = view.is_none_or(|view| view.temporal == 0 || view.is_key);
        let is_sent = has_room && (is_vital || is_plenty) && {
            let step = Step { now, egress: &mut *egress, counters: &mut *counters };
            send_recalled(
                step,
                source,
                sink,
                transport,
                bundle,
                Recalled { at, outgoing, is_missed: false },
            )
        };
        sink.output.counts.copies_sent += u32::from(is_sent);
        counters.copies_sent += u64::from(is_sent);
        counters.copies_dropped += u64::from(!is_sent);
    }
    Some(now + 1)
}

/// Sends the newest packet of a sink once more, going back from packet to packet.
pub fn repeat_newest(
    step: Step<'_>,
    source: &Source,
    sink: &mut Sink,
    transport: &mut Transport,
    bundle: &mut Bundle,
) -> bool {
    if source.is_audio || source.is_muted {
        return false;
    }
    let Some((at, outgoing)) = sink.output.take_filler(step.now, &sink.flow) else {
        return false;
    };
    send_recalled(
        step,
        source,
        sink,
        transport,
        bundle,
        Recalled { at, outgoing, is_missed: false },
    )
}

/// Sends a packet of nothing but padding on the sink's retransmission stream.
pub fn pad(
    step: Step<'_>,
    sink: &mut Sink,
    transport: &mut Transport,
    bundle: &mut Bundle,
) -> bool {
    let Step { now, egress, counters } = step;
    let Some(path) = transport.media_path() else {
        return false;
    };
    let Sink { flow, output, .. } = sink;
    let out_ts = flow.last_out_ts();
    let Transport { sender, writer, sent, counts, pacer, .. } = transport;
    let Some(sender) = sender else { return false };
    let mut exit = Exit { sender, path, egress, counters };
    let mut is_sent = false;
    bundle.push(&mut exit, |room| {
        let values = Values { now, twcc: sent.next_seq(), is_plain: true };
        let len = write_padding(room, writer, output, out_ts, &values)?;
        counts.sent_packets += 1;
        counts.sent_bytes += len as u64;
        let is_reported = writer.extensions.twcc != 0;
        if is_reported {
            sent.on_sent(now, len, Sort::Extra);
        }
        pacer.on_sent(now, len as u64, false, is_reported);
        is_sent = true;
        Some(len)
    });
    bundle.finish(&mut exit);
    exit.counters.padding_sent += u64::from(is_sent);
    is_sent
}
