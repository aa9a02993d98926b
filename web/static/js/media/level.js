/** Loudness of a microphone, for the meter on the join page. */

const SMOOTHING = 0.35;

/**
 * Watch a track and report its level about 15 times a second.
 * @param {MediaStreamTrack} track
 * @param {(level: number) => void} onLevel 0 (silence) to 1
 * @returns {() => void} stops watching
 */
export function watchLevel(track, onLevel) {
  const Context = globalThis.AudioContext || /** @type {any} */ (globalThis).webkitAudioContext;
  if (!Context) return () => {};
  const context = new Context();
  const source = context.createMediaStreamSource(new MediaStream([track]));
  const analyser = context.createAnalyser();
  analyser.fftSize = 512;
  source.connect(analyser);
  const samples = new Uint8Array(analyser.fftSize);
  let level = 0;
  const timer = setInterval(() => {
    analyser.getByteTimeDomainData(samples);
    let sum = 0;
    for (const sample of samples) sum += (sample - 128) ** 2;
    const rms = Math.sqrt(sum / samples.length) / 128;
    // -50 dB … -10 dB of full scale is the range of speech at a phone.
    const now = Math.min(1, Math.max(0, (20 * Math.log10(rms + 1e-6) + 50) / 40));
    level += (now - level) * (now > level ? 1 : SMOOTHING);
    onLevel(level);
  }, 66);
  return () => {
    clearInterval(timer);
    context.close().catch(() => {});
  };
}
