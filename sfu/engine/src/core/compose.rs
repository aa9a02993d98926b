//! Writing packets for subscribers: own header, own numbers, the ring's payload.

use crate::api::{Codec, Micros};
use crate::media::encoding::Encoding;
use crate::media::flow::{Content, Outgoing};
use crate::media::output::Output;
use crate::media::redundancy::Redundancy;
use crate::media::ring::Stored;
use crate::wire::rtp::{
    OutExtensions, RtpHeader, RtpWriter, abs_send_time, append_padding, write_osn,
};
use crate::wire::vp8::Vp8Descriptor;

/// NAL header of an aggregate of parameter sets: highest importance, type 24 (RFC 6184 §5.7.1).
const STAP_A: u8 = 0x60 | 24;
/// Padding of a packet that carries nothing.
const EMPTY_PADDING: u8 = 4;

/// Header values that change from packet to packet.
pub struct Values {
    /// When it leaves.
    pub now: Micros,
    /// Transport-wide number.
    pub twcc: u16,
    /// The link has no room for earlier frames.
    pub is_plain: bool,
}

/// A packet that was written.
pub struct Written {
    /// Its length.
    pub len: usize,
    /// That of its payload.
    pub payload_len: usize,
    /// It carries earlier frames.
    pub is_red: bool,
}

/// Writes a packet as the subscriber gets it.
pub fn write_media(
    room: &mut [u8],
    writer: &RtpWriter,
    output: &Output,
    encoding: &Encoding,
    outgoing: &Outgoing,
    values: &Values,
) -> Option<Written> {
    let stored = stored(encoding, outgoing)?;
    let codec = stored.map_or(encoding.codec, |stored| Some(stored.view.codec))?;
    let pt = output.payload_type(codec)?;
    let may_red = codec == Codec::Opus && !values.is_plain;
    let red = stored.as_ref().zip(output.red().filter(|_| may_red));
    let red = red.and_then(|(stored, red)| Redundancy::collect(red, encoding, outgoing, stored));
    let header = RtpHeader {
        is_marker: stored.is_some_and(|stored| stored.view.is_marker),
        pt: red.map_or(pt, |red| red.pt()),
        seq: outgoing.out_seq_ext as u16,
        ts_rtp: outgoing.out_ts,
        ssrc: output.ssrc,
    };
    let extensions = extensions(output, stored.as_ref(), values);
    let at = writer.write_header(room, &header, &extensions)?;
    let payload_len = match outgoing.content {
        Content::Empty => 0,
        _ => match red.zip(stored) {
            Some((red, stored)) => red.write(&mut room[at..], stored.payload)?,
            None => write_payload(&mut room[at..], encoding, stored.as_ref(), outgoing)?,
        },
    };
    let len = match payload_len {
        0 => append_padding(room, at, EMPTY_PADDING)?,
        _ => at + payload_len,
    };
    Some(Written { len, payload_len, is_red: red.is_some() })
}

/// Writes a packet as retransmission: the original number leads the payload.
pub fn write_rtx(
    room: &mut [u8],
    writer: &RtpWriter,
    output: &mut Output,
    encoding: &Encoding,
    outgoing: &Outgoing,
    values: &Values,
) -> Option<usize> {
    let stored = stored(encoding, outgoing)?;
    let codec = stored.map_or(encoding.codec, |stored| Some(stored.view.codec))?;
    let header = RtpHeader {
        is_marker: stored.is_some_and(|stored| stored.view.is_marker),
        pt: output.rtx_payload_type(codec)?,
        seq: output.rtx_seq,
        ts_rtp: outgoing.out_ts,
        ssrc: output.rtx_ssrc,
    };
    let at = writer.write_header(room, &header, &extensions(output, stored.as_ref(), values))?;
    let at = at + write_osn(&mut room[at..], outgoing.out_seq_ext as u16)?;
    let payload_len = write_payload(&mut room[at..], encoding, stored.as_ref(), outgoing)?;
    output.rtx_seq = output.rtx_seq.wrapping_add(1);
    Some(at + payload_len)
}

/// Writes a retransmission packet that carries nothing but padding, as bandwidth probes do.
pub fn write_padding(
    room: &mut [u8],
    writer: &RtpWriter,
    output: &mut Output,
    out_ts: u32,
    values: &Values,
) -> Option<usize> {
    let header = RtpHeader {
        is_marker: false,
        pt: output.any_rtx_payload_type()?,
        seq: output.rtx_seq,
        ts_rtp: out_ts,
        ssrc: output.rtx_ssrc,
    };
    let at = writer.write_header(room, &header, &extensions(output, None, values))?;
    let len = append_padding(room, at, u8::MAX)?;
    output.rtx_seq = output.rtx_seq.wrapping_add(1);
    Some(len)
}

/// The stored packet, `Some(None)` for parameter sets; `None` if it is gone.
fn stored<'a>(encoding: &'a Encoding, outgoing: &Outgoing) -> Option<Option<Stored<'a>>> {
    match outgoing.content {
        Content::Stored(seq_ext) => encoding.ring.get(seq_ext).map(Some),
        Content::Params | Content::Empty => Some(None),
    }
}

fn extensions<'a>(
    output: &'a Output,
    stored: Option<&Stored<'a>>,
    values: &Values,
) -> OutExtensions<'a> {
    let mut extensions = OutExtensions {
        mid: output.needs_mid().then_some(output.mid.as_bytes()),
        twcc: Some(values.twcc),
        abs_send_time: Some(abs_send_time(values.now)),
        ..OutExtensions::default()
    };
    if let Some(stored) = stored {
        let view = stored.view;
        extensions.audio_level =
            view.has_level.then_some((view.level & 0x80 != 0, view.level & 0x7f));
        extensions.video_orientation = view.has_orientation.then_some(view.orientation);
        extensions.abs_capture_time = (!stored.capture.is_empty()).then_some(stored.capture);
        extensions.dependency = Some(stored.dependency)
            .filter(|dependency| !dependency.is_empty() && keeps_descriptor(view.codec));
    }
    extensions
}

/// Every encoding counts frames for itself in its dependency descriptors. Receivers that saw one
/// layer's would take another layer's pictures for old ones, so where layers are switched none
/// leaves; the payload says all that VP8 and H.264 need.
fn keeps_descriptor(codec: Codec) -> bool {
    matches!(codec, Codec::Vp9 | Codec::Av1)
}

fn write_payload(
    room: &mut [u8],
    encoding: &Encoding,
    stored: Option<&Stored<'_>>,
    outgoing: &Outgoing,
) -> Option<usize> {
    let Some(stored) = stored else {
        return write_params(room, encoding);
    };
    if outgoing.pid.is_none() && outgoing.tl0.is_none() {
        return copy(room, stored.payload);
    }
    let descriptor = Vp8Descriptor::parse(stored.payload)?;
    let at = descriptor.write(room, outgoing.pid, outgoing.tl0)?;
    Some(at + copy(&mut room[at..], &stored.payload[usize::from(descriptor.header_len)..])?)
}

/// Both parameter sets in one aggregation packet.
fn write_params(room: &mut [u8], encoding: &Encoding) -> Option<usize> {
    let mut at = copy(room, &[STAP_A])?;
    for nal in [encoding.params.sps(), encoding.params.pps()] {
        at += copy(&mut room[at..], &(nal.len() as u16).to_be_bytes())?;
        at += copy(&mut room[at..], nal)?;
    }
    Some(at)
}

#[inline]
fn copy(room: &mut [u8], bytes: &[u8]) -> Option<usize> {
    room.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::SinkConfig;
    use crate::media::ring::View;

    #[test]
    fn dependency_descriptors_leave_only_where_a_stream_is_forwarded_whole() {
        let config = SinkConfig { ssrc: 1, rtx_ssrc: 0, mid: String::new(), payloads: Vec::new() };
        let output = Output::new(config, 0);
        let values = Values { now: 0, twcc: 0, is_plain: false };
        for (codec, leaves) in
            [(Codec::Vp8, false), (Codec::H264, false), (Codec::Vp9, true), (Codec::Av1, true)]
        {
            let stored = Stored {
                view: &View::new(0, 0, codec, 0),
                payload: &[0],
                dependency: &[0x80, 0, 1],
                capture: &[],
            };
            let extensions = extensions(&output, Some(&stored), &values);
            assert_eq!(extensions.dependency.is_some(), leaves, "{codec:?}");
        }
    }
}
