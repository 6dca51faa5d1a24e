// A file of Opus packets: for each a little-endian u16 length and that many bytes.

import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';

export function readFrames(path) {
    const file = readFileSync(path);
    const frames = [];
    for (let at = 0; at < file.length; ) {
        const length = file.readUInt16LE(at);
        frames.push(file.subarray(at + 2, at + 2 + length));
        at += 2 + length;
    }
    return frames;
}

/** An object stream that yields each packet once; `loop` starts over at the end, for ever. */
export function frameStream(frames, { loop = false } = {}) {
    let next = 0;
    return new Readable({
        objectMode: true,
        read() {
            if (next === frames.length && loop) next = 0;
            this.push(next < frames.length ? frames[next++] : null);
        },
    });
}
