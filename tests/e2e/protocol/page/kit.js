/**
 * What the tests call in the page: one room of livekit-client, everything it says, and what is
 * really seen and heard of each track.
 */
'use strict';
const LK = globalThis.LivekitClient;
LK.setLogLevel('warn');

const EVENTS = [
  'Connected', 'Reconnecting', 'SignalReconnecting', 'Reconnected', 'Disconnected',
  'ParticipantConnected', 'ParticipantDisconnected', 'TrackPublished', 'TrackUnpublished',
  'TrackSubscribed', 'TrackUnsubscribed', 'TrackSubscriptionFailed', 'TrackMuted', 'TrackUnmuted',
  'LocalTrackPublished', 'LocalTrackUnpublished', 'ParticipantMetadataChanged',
];

const kit = {
  room: null,
  events: [],
  data: [],
  texts: [],
  quality: {},
  speaking: [],
  tracks: {},
  started_ms: 0,

  async connect(url, token, { connectOptions, ...options }) {
    const room = new LK.Room({ disconnectOnPageLeave: false, ...options });
    kit.room = room;
    for (const name of EVENTS) {
      room.on(LK.RoomEvent[name], (...args) => kit.note(name, args));
    }
    room.on(LK.RoomEvent.TrackSubscribed, (track, publication, who) => watch(track, publication, who));
    room.on(LK.RoomEvent.TrackUnsubscribed, (track, publication) => unwatch(publication.trackSid));
    room.on(LK.RoomEvent.DataReceived, (bytes, who, kind, topic) => kit.data.push({
      text: new TextDecoder().decode(bytes), from: who?.identity ?? '', kind, topic: topic ?? '',
    }));
    room.on(LK.RoomEvent.ConnectionQualityChanged, (quality, who) => {
      kit.quality[who.identity] = quality;
    });
    room.on(LK.RoomEvent.ActiveSpeakersChanged, (speakers) => {
      kit.speaking.push(speakers.map((speaker) => speaker.identity));
    });
    room.registerTextStreamHandler('notes', async (reader, from) => {
      kit.texts.push({ text: await reader.readAll(), from: from.identity });
    });
    room.registerRpcMethod('double', async (call) => String(2 * Number(call.payload)));
    kit.started_ms = performance.now();
    await room.connect(url, token, connectOptions);
    kit.note('Joined', []);
    return { sid: room.localParticipant.sid, is_single: isSingle(room) };
  },

  note(name, args) {
    const said = args.map((arg) => arg?.trackSid ?? arg?.identity ?? (typeof arg === 'object' ? '' : arg));
    kit.events.push({ name, said, at_ms: Math.round(performance.now()) });
  },

  count: (name) => kit.events.filter((event) => event.name === name).length,

  happened: (name, times = 1) => kit.count(name) >= times,

  leave: () => kit.room.disconnect(),

  /** How the packets of a picture come in: kind of our own candidate, and how it reaches its relay. */
  async way(sid) {
    const rows = [...(await remotePublication(sid).track.receiver.getStats()).values()];
    const used = rows.find((row) => row.type === 'transport')?.selectedCandidatePairId;
    const pair = rows.find((row) => row.id === used);
    const local = rows.find((row) => row.id === pair?.localCandidateId);
    return local ? [local.candidateType, local.relayProtocol ?? ''] : null;
  },

  state: () => kit.room.state,

  people: () => [...kit.room.remoteParticipants.values()].map((who) => who.identity).sort(),

  // --- publishing

  async publishCamera({ width, height, fps, codec, simulcast = true, layers = [], bitrate = 700_000 }) {
    const presets = layers.map(([w, h, bps]) => new LK.VideoPreset(w, h, bps, fps));
    const track = await LK.createLocalVideoTrack({ resolution: { width, height, frameRate: fps } });
    const publication = await kit.room.localParticipant.publishTrack(track, {
      source: LK.Track.Source.Camera,
      simulcast,
      videoSimulcastLayers: presets,
      videoEncoding: { maxBitrate: bitrate, maxFramerate: fps },
      // Two cores encode, decode and forward here: sizes must not depend on how busy they are.
      degradationPreference: 'maintain-resolution',
      videoCodec: codec ?? 'vp8',
      backupCodec: false,
    });
    return publication.trackSid;
  },

  async publishMicrophone(options = {}) {
    const publication = await kit.room.localParticipant.setMicrophoneEnabled(true, undefined, options);
    return publication.trackSid;
  },

  /** A steady tone as microphone: the fake one only ticks, which is nobody speaking. */
  async publishTone(hz) {
    const context = new AudioContext();
    const oscillator = new OscillatorNode(context, { frequency: hz });
    const output = new MediaStreamAudioDestinationNode(context);
    oscillator.connect(new GainNode(context, { gain: 0.3 })).connect(output);
    oscillator.start();
    const [track] = output.stream.getAudioTracks();
    const publication = await kit.room.localParticipant.publishTrack(track, {
      source: LK.Track.Source.Microphone,
    });
    return publication.trackSid;
  },

  async publishScreen() {
    const publication = await kit.room.localParticipant.setScreenShareEnabled(
      true,
      { resolution: { width: 640, height: 360, frameRate: 10 } },
      { simulcast: false, screenShareEncoding: { maxBitrate: 400_000, maxFramerate: 10 } },
    );
    return publication.trackSid;
  },

  async unpublish(sid) {
    await kit.room.localParticipant.unpublishTrack(publicationOf(sid).track);
  },

  async setMuted(sid, muted) {
    await (muted ? publicationOf(sid).mute() : publicationOf(sid).unmute());
  },

  /** Outbound streams of a published track, by rid. */
  async sent(sid) {
    const found = {};
    for (const row of (await publicationOf(sid).track.sender.getStats()).values()) {
      if (row.type === 'outbound-rtp') {
        found[row.rid ?? ''] = {
          frames: row.framesEncoded, bytes: row.bytesSent, width: row.frameWidth ?? 0,
          is_active: row.active, keyframes: row.keyFramesEncoded, implementation: row.encoderImplementation,
        };
      }
    }
    return found;
  },

  // --- subscribing

  trackOf: (identity, source) =>
    kit.room.remoteParticipants.get(identity)?.getTrackPublication(source)?.trackSid ?? '',

  setQuality(sid, name) {
    remotePublication(sid).setVideoQuality(LK.VideoQuality[name]);
  },

  setSubscribed: (sid, wanted) => remotePublication(sid).setSubscribed(wanted),

  setEnabled: (sid, wanted) => remotePublication(sid).setEnabled(wanted),

  isMuted: (sid) => remotePublication(sid).isMuted,

  /** Whether `count` more frames of this width have been shown since the mark. */
  hasFrames: (sid, count = 1, width = 0) =>
    (kit.tracks[sid]?.frames ?? []).filter((w) => !width || w === width).length >= count,

  mark(sid) {
    kit.tracks[sid].frames = [];
    kit.tracks[sid].longest_gap_ms = 0;
  },

  seen: (sid) => ({
    frames: kit.tracks[sid]?.frames.length ?? 0,
    widths: [...new Set(kit.tracks[sid]?.frames ?? [])],
    longest_gap_ms: Math.round(kit.tracks[sid]?.longest_gap_ms ?? 0),
  }),

  /** Colours of the present picture: shares of green, and of pixels that differ from the last look. */
  look(sid) {
    const seen = kit.tracks[sid];
    const { canvas, element } = seen;
    [canvas.width, canvas.height] = [160, 90];
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(element, 0, 0, 160, 90);
    const pixels = context.getImageData(0, 0, 160, 90).data;
    let green = 0;
    let changed = 0;
    for (let i = 0; i < pixels.length; i += 4) {
      const [r, g, b] = [pixels[i], pixels[i + 1], pixels[i + 2]];
      green += g > r + 30 && g > b + 30 ? 1 : 0;
      changed += seen.pixels && Math.abs(seen.pixels[i + 1] - g) > 40 ? 1 : 0;
    }
    seen.pixels = pixels;
    return { green: (4 * green) / pixels.length, changed };
  },

  loudness: (sid) => kit.tracks[sid]?.peak ?? 0,

  /** The strongest frequency heard now, in Hz; 0 while the track is not here. */
  pitch(sid) {
    if (!kit.tracks[sid]?.analyser) return 0;
    const { analyser, context } = kit.tracks[sid];
    const bins = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(bins);
    return (bins.indexOf(Math.max(...bins)) * context.sampleRate) / analyser.fftSize;
  },

  hasPitch: (sid, hz) => Math.abs(kit.pitch(sid) - hz) < 30,

  isLoud: (sid, floor) => kit.loudness(sid) > floor,

  resetLoudness(sid) {
    kit.tracks[sid].peak = 0;
  },

  async received(sid) {
    for (const row of (await remotePublication(sid).track.receiver.getStats()).values()) {
      if (row.type === 'inbound-rtp') {
        return {
          frames: row.framesDecoded ?? 0, bytes: row.bytesReceived, lost: row.packetsLost,
          energy: row.totalAudioEnergy ?? 0, concealed: row.concealedSamples ?? 0,
          keyframes: row.keyFramesDecoded ?? 0, freezes: row.freezeCount ?? 0,
        };
      }
    }
    return null;
  },

  async codecOf(sid) {
    const stats = await remotePublication(sid).track.receiver.getStats();
    const rows = [...stats.values()];
    const stream = rows.find((row) => row.type === 'inbound-rtp');
    return rows.find((row) => row.id === stream?.codecId)?.mimeType ?? '';
  },

  canEncode: (mime) =>
    (RTCRtpSender.getCapabilities('video')?.codecs ?? []).some((codec) => codec.mimeType === mime),

  // --- data

  async sendData(text, { reliable, to, topic }) {
    await kit.room.localParticipant.publishData(new TextEncoder().encode(text), {
      reliable, destinationIdentities: to, topic,
    });
  },

  async keepSending(text) {
    for (let time = 0; time < 5; time += 1) {
      await kit.sendData(text, { reliable: true });
      await new Promise((done) => setTimeout(done, 300));
    }
  },

  async sendMany(texts) {
    for (const text of texts) await kit.sendData(text, { reliable: true });
  },

  allHeard: () => kit.data.map((packet) => packet.text),

  async sendText(text) {
    await kit.room.localParticipant.sendText(text, { topic: 'notes' });
  },

  rpc: (to, payload) => kit.room.localParticipant.performRpc({
    destinationIdentity: to, method: 'double', payload,
  }),

  heard: (text) => kit.data.filter((packet) => packet.text === text),

  hasHeard: (text) => kit.heard(text).length > 0,

  hasText: (text) => kit.texts.some((note) => note.text === text),

  // --- what the server tells

  hasSpoken: (identity) => kit.speaking.some((speakers) => speakers.includes(identity)),

  isSilent: () => kit.room.activeSpeakers.length === 0,

  qualityOf: (identity) => (kit.quality[identity] === 'unknown' ? '' : kit.quality[identity] ?? ''),

  knows: (identity) => kit.room.remoteParticipants.has(identity),

  setAttributes: (attributes) => kit.room.localParticipant.setAttributes(attributes),

  attributeOf: (identity, name) => kit.room.remoteParticipants.get(identity)?.attributes[name] ?? '',

  allowOnly(identities) {
    kit.room.localParticipant.setTrackSubscriptionPermissions(
      false,
      identities.map((participantIdentity) => ({ participantIdentity, allowAll: true })),
    );
  },

  // --- faults

  simulate: (scenario) => kit.room.simulateScenario(scenario),
};

function isSingle(room) {
  return room.engine.pcManager?.mode === 'publisher-only';
}

function publicationOf(sid) {
  return kit.room.localParticipant.trackPublications.get(sid);
}

function remotePublication(sid) {
  for (const who of kit.room.remoteParticipants.values()) {
    const found = who.trackPublications.get(sid);
    if (found) return found;
  }
  throw new Error(`no remote track ${sid}`);
}

function watch(track, publication, who) {
  unwatch(publication.trackSid);
  const element = track.attach();
  element.muted = track.kind === 'video';
  document.body.append(element);
  const seen = {
    kind: track.kind, from: who.identity, element, frames: [], longest_gap_ms: 0, peak: 0,
    canvas: document.createElement('canvas'), pixels: null, isOver: false,
  };
  kit.tracks[publication.trackSid] = seen;
  if (track.kind === 'video') watchFrames(element, seen);
  else watchLoudness(track.mediaStreamTrack, seen);
}

function unwatch(sid) {
  const seen = kit.tracks[sid];
  if (!seen) return;
  seen.isOver = true;
  seen.element.remove();
  seen.context?.close();
  delete kit.tracks[sid];
}

function watchFrames(element, seen) {
  let last_ms = performance.now();
  const onFrame = (now_ms, frame) => {
    if (seen.isOver) return;
    seen.longest_gap_ms = Math.max(seen.longest_gap_ms, now_ms - last_ms);
    last_ms = now_ms;
    seen.frames.push(frame.width);
    element.requestVideoFrameCallback(onFrame);
  };
  element.requestVideoFrameCallback(onFrame);
}

function watchLoudness(mediaStreamTrack, seen) {
  seen.context = new AudioContext();
  const analyser = seen.context.createAnalyser();
  seen.context.createMediaStreamSource(new MediaStream([mediaStreamTrack])).connect(analyser);
  seen.analyser = analyser;
  const samples = new Float32Array(analyser.fftSize);
  const listen = () => {
    if (seen.isOver) return;
    analyser.getFloatTimeDomainData(samples);
    for (const sample of samples) seen.peak = Math.max(seen.peak, Math.abs(sample));
    setTimeout(listen, 20);
  };
  listen();
}

globalThis.kit = kit;
