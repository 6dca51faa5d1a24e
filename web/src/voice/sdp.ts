// The few facts that the page reads out of session descriptions, and what it can say only there: which audio sections are for the
// sound of screens, and that lost audio is asked for.

export interface AnswerSlot {
  mid: string;
  /** What the server will send in this slot; `null` when the answer does not say, and the first packet tells. */
  ssrc: number | null;
}

/** The payload type that an offer gives Opus. */
export function opusPayloadType(sdp: string): number | null {
  const match = /^a=rtpmap:(\d+) opus\/48000/im.exec(sdp);
  return match?.[1] === undefined ? null : Number(match[1]);
}

/** The sections of a description, by their place in it, as `change` leaves them. */
function mapSections(sdp: string, change: (section: string, index: number) => string): string {
  const [session = "", ...sections] = sdp.split(/^(?=m=)/m);
  return session + sections.map(change).join("");
}

/** Opus in stereo in these sections: browsers decode one channel unless their own description says so. */
export function withStereo(sdp: string, sounds: ReadonlySet<number>): string {
  const payloadType = opusPayloadType(sdp);
  const line = new RegExp(`^a=fmtp:${payloadType} .*$`, "m");
  return mapSections(sdp, (section, index) => (sounds.has(index) ? section.replace(line, (fmtp) => `${fmtp.trimEnd()};stereo=1`) : section));
}

/** Lost packets of Opus are asked for in these sections (RFC 4585 §4.2): browsers do so only where both descriptions say it. */
export function withRepeats(sdp: string, voices: ReadonlySet<number>): string {
  const payloadType = opusPayloadType(sdp);
  if (payloadType === null) return sdp;
  const line = `a=rtcp-fb:${payloadType} nack`;
  const format = new RegExp(`^a=rtpmap:${payloadType} .*$`, "m");
  const isAsked = (section: string) => section.split(/\r?\n/).includes(line);
  return mapSections(sdp, (section, index) =>
    voices.has(index) && !isAsked(section) ? section.replace(format, (rtpmap) => `${rtpmap.trimEnd()}\r\n${line}`) : section,
  );
}

/** The same offer as the server is to read it: these sections name their content (RFC 4796). */
export function withSounds(sdp: string, sounds: ReadonlySet<number>): string {
  return mapSections(sdp, (section, index) => (sounds.has(index) ? section.replace(/^a=mid:/m, "a=content:slides\r\na=mid:") : section));
}

/** The audio sections of an answer in which the server sends, in order. */
export function answerSlots(sdp: string): AnswerSlot[] {
  const slots: AnswerSlot[] = [];
  for (const section of sdp.split(/^(?=m=)/m).slice(1)) {
    const isRejected = /^m=\S+ 0 /.test(section);
    const sends = /^a=(sendonly|sendrecv)\s*$/m.test(section) || !/^a=(recvonly|inactive|sendonly|sendrecv)\s*$/m.test(section);
    const mid = /^a=mid:(\S+)/m.exec(section)?.[1];
    if (!section.startsWith("m=audio") || isRejected || !sends || mid === undefined) continue;
    const ssrc = /^a=ssrc:(\d+)/m.exec(section)?.[1];
    slots.push({ mid, ssrc: ssrc === undefined ? null : Number(ssrc) });
  }
  return slots;
}
