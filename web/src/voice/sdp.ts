// The few facts that the page reads out of session descriptions. It never rewrites one.

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
