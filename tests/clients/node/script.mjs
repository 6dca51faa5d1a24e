// How a test drives a client: commands come in as JSON lines, reports go out as JSON lines.
//
// In:  {"id": 7, "do": "send", ...}
// Out: {"reply": 7, "ok": ...} or {"reply": 7, "error": "..."} for each command, and {"event": "...", ...} at any time.
// The process ends when its input ends, so a test that dies leaves nobody behind.

import { createInterface } from 'node:readline';

/** A value may hold ids as bigint; JSON wants strings. */
const plain = (_key, value) => (typeof value === 'bigint' ? value.toString() : value);

const write = (line) => process.stdout.write(`${JSON.stringify(line, plain)}\n`);

/** Tells the test that something happened. */
export const report = (event, fields = {}) => write({ event, ...fields });

/** Answers commands with `handlers[command.do](command)` until the input ends, then calls `close` and exits. */
export function serve(handlers, close) {
    const lines = createInterface({ input: process.stdin });
    lines.on('line', async (line) => {
        const command = JSON.parse(line);
        try {
            const handler = handlers[command.do];
            if (!handler) throw new Error(`no such command: ${command.do}`);
            write({ reply: command.id, ok: (await handler(command)) ?? null });
        } catch (error) {
            write({ reply: command.id, error: String(error?.stack ?? error) });
        }
    });
    lines.on('close', async () => {
        await close();
        process.exit(0);
    });
}

/** What the test gave this client: one JSON object as the first argument. */
export const given = JSON.parse(process.argv[2]);
