"""A phone whose line is in the hands of the test."""

from __future__ import annotations

LINE = """
globalThis.carriesBps = 2_000_000;
const measure = RTCRtpSender.prototype.getStats;
RTCRtpSender.prototype.getStats = async function () {
  if (this.track?.kind === "video" || globalThis.filmed === this) globalThis.filmed = this;
  const rows = new Map();
  for (const [id, row] of await measure.call(this)) {
    const isPath = row.type === "candidate-pair";
    rows.set(id, isPath ? { ...row, availableOutgoingBitrate: carriesBps } : row);
  }
  return rows;
};
"""
"""Script of a page: its line as the browser would measure it, in `carriesBps`; `filmed` sends."""
LAYERS = """
() => filmed.getParameters().encodings
  .filter((layer) => layer.active).map((layer) => [layer.rid, layer.maxFramerate])
"""
"""Function of such a page: the layers that it sends, with their frame rates."""
