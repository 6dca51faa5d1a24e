import { describe, expect, it } from "vitest";
import type { Message, User } from "../api/types";
import { nonce } from "./snowflake";
import { begin, clearReactions, edit, emptyTimeline, fail, MAX_KEPT, react, receive, receivePage, remove, type Timeline } from "./timeline";

const author: User = { id: "1", username: "ada", global_name: null };

function message(id: number, extra: Partial<Message> = {}): Message {
  const base = { content: `m${id}`, timestamp: "2026-11-21T10:00:00+00:00", edited_timestamp: null, mentions: [], type: 0 };
  return { ...base, id: String(id), channel_id: "5", author, ...extra };
}

function ids(timeline: Timeline): number[] {
  return timeline.messages.map((each) => Number(each.id));
}

/** A loaded timeline with the given messages, oldest first; `size` is the page size it was asked with. */
function loaded(numbers: number[], size = 3): Timeline {
  return receivePage({ ...emptyTimeline, load: "loading" }, numbers.toReversed().map((id) => message(id)), null, size);
}

describe("timeline", () => {
  it("orders a newest-first page and knows from its size whether there is more", () => {
    expect(ids(loaded([8, 9, 10]))).toEqual([8, 9, 10]);
    expect(loaded([8, 9, 10]).hasOlder).toBe(true);
    expect(loaded([9, 10]).hasOlder).toBe(false);
  });

  it("puts an older page before what is there", () => {
    const timeline = receivePage(loaded([100, 101, 102]), [message(99), message(9)], "100", 3);
    expect(ids(timeline)).toEqual([9, 99, 100, 101, 102]);
    expect(timeline.hasOlder).toBe(false);
  });

  it("has a message once, however it arrives", () => {
    const timeline = receive(receive(loaded([1, 2]), message(3)), message(3));
    expect(ids(receivePage(timeline, [message(3), message(2)], null, 3))).toEqual([1, 2, 3]);
  });

  it("sorts in a message that was overtaken by a later one", () => {
    expect(ids(receive(receive(loaded([1]), message(12)), message(9)))).toEqual([1, 9, 12]);
  });

  it("keeps what arrives while the first page is on its way", () => {
    const loading: Timeline = { ...emptyTimeline, load: "loading" };
    const timeline = receivePage(receive(loading, message(4)), [message(3), message(2)], null, 3);
    expect(ids(timeline)).toEqual([2, 3, 4]);
  });

  it("does not take an event for the history of a channel that was never opened", () => {
    expect(ids(receive(emptyTimeline, message(4)))).toEqual([]);
  });

  it("settles a pending message by its nonce, once, whether the answer or the event comes first", () => {
    const pending = { nonce: "77", content: "hi", author, replyTo: null, files: [], sentAtMs: 0, failure: null };
    const sending = begin(loaded([1]), pending);
    expect(sending.pending).toHaveLength(1);
    const settled = receive(receive(sending, message(2, { nonce: "77" })), message(2, { nonce: 77 }));
    expect(settled.pending).toEqual([]);
    expect(ids(settled)).toEqual([1, 2]);
  });

  it("keeps a failed message with its reason, and a retry clears it", () => {
    const pending = { nonce: "77", content: "hi", author, replyTo: null, files: [], sentAtMs: 0, failure: null };
    const failed = fail(begin(loaded([1]), pending), "77", "offline");
    expect(failed.pending[0]?.failure).toBe("offline");
    expect(begin(failed, pending).pending).toEqual([pending]);
  });

  it("edits in place and ignores edits of what is not here", () => {
    const timeline = loaded([1, 2]);
    expect(edit(timeline, { id: "2", content: "new" }).messages[1]?.content).toBe("new");
    expect(edit(timeline, { id: "9", content: "new" })).toBe(timeline);
  });

  it("does not let a late page bring a deleted message back", () => {
    const timeline = remove(loaded([1, 2, 3]), ["2"]);
    expect(ids(receivePage(timeline, [message(3), message(2)], null, 3))).toEqual([1, 3]);
  });

  it("keeps a bounded number and can page the rest in again", () => {
    let timeline = loaded([1], 50);
    expect(timeline.hasOlder).toBe(false);
    for (let id = 2; id <= MAX_KEPT + 5; id += 1) timeline = receive(timeline, message(id));
    expect(timeline.messages).toHaveLength(MAX_KEPT);
    expect(timeline.messages[0]?.id).toBe("6");
    expect(timeline.hasOlder).toBe(true);
  });
});

it("makes nonces that fit the API and differ", () => {
  const made = Array.from({ length: 100 }, () => nonce(Date.UTC(2100, 0), () => 0.999_999));
  expect(new Set(made).size).toBe(100);
  expect(Math.max(...made.map((each) => each.length))).toBeLessThanOrEqual(25);
});

/** The reactions to the only message. */
function below(timeline: Timeline) {
  return timeline.messages[0]?.reactions;
}

describe("reactions", () => {
  const thumb = { id: null, name: "👍" };
  const own = { id: "5", name: "clock" };
  const start = loaded([30]);

  it("counts up and down and knows which are mine", () => {
    const one = react(start, "30", thumb, 1, false);
    expect(below(one)).toEqual([{ emoji: thumb, count: 1, me: false }]);
    const two = react(react(one, "30", thumb, 1, true), "30", own, 1, false);
    expect(below(two)).toEqual([{ emoji: thumb, count: 2, me: true }, { emoji: own, count: 1, me: false }]);
    const back = react(two, "30", thumb, -1, true);
    expect(below(back)?.[0]).toEqual({ emoji: thumb, count: 1, me: false });
    expect(below(react(back, "30", { id: "5", name: "renamed" }, -1, false))).toEqual([{ emoji: thumb, count: 1, me: false }]);
    expect(below(clearReactions(two, "30", own))).toHaveLength(1);
    expect(below(clearReactions(two, "30", null))).toEqual([]);
  });

  it("ignores messages that are not here and reactions that were not", () => {
    expect(react(start, "99", thumb, 1, true)).toBe(start);
    expect(below(react(start, "30", thumb, -1, false))).toEqual([]);
  });
});
