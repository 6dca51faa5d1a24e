"""How a test drives a client: commands come in as JSON lines, reports go out as JSON lines.

In:  {"id": 7, "do": "send", ...}
Out: {"reply": 7, "ok": ...} or {"reply": 7, "error": "..."} for each command, and {"event": "...", ...} at any time.
The process ends when its input ends, so a test that dies leaves nobody behind.
"""

import asyncio
import json
import sys
import traceback

# What the test gave this client: one JSON object as the first argument.
given = json.loads(sys.argv[1])


def _write(line):
    # One call per line: the audio thread reports too.
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def report(event, **fields):
    """Tells the test that something happened."""
    _write({"event": event, **fields})


async def serve(handlers):
    """Answers commands with `handlers[command["do"]](command)` until the input ends."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    running = set()

    async def answer(command):
        try:
            _write({"reply": command["id"], "ok": await handlers[command["do"]](command)})
        except Exception:
            _write({"reply": command["id"], "error": traceback.format_exc()})

    while line := await lines.readline():
        task = asyncio.create_task(answer(json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)
