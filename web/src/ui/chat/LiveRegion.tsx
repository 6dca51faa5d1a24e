import { useEffect, useState } from "react";
import type { Id } from "../../api/types";
import { displayName } from "../../state/select";
import { isNewer } from "../../state/snowflake";
import { useApp } from "../context";

/** Reads new messages of others aloud: a region of its own, so that neither history nor edits are announced. */
export function LiveRegion({ guildId, channelId }: { guildId: Id | null; channelId: Id }) {
  const app = useApp();
  const [text, setText] = useState("");
  useEffect(
    () =>
      app.store.subscribe((model, before) => {
        const [timeline, old] = [model.timelines[channelId], before.timelines[channelId]];
        if (timeline === old || timeline?.load !== "loaded" || old?.load !== "loaded") return;
        const newest = timeline.messages.at(-1);
        const isNews = newest !== undefined && newest.author.id !== model.me?.id && isNewer(newest.id, old.messages.at(-1)?.id ?? "0");
        if (isNews) setText(`${displayName(model, guildId, newest.author.id)}: ${newest.content}`);
      }),
    [app, guildId, channelId],
  );
  return (
    <div className="visually-hidden" aria-live="polite" data-testid="live-region">
      {text}
    </div>
  );
}
