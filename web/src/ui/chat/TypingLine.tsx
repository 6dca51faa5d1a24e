import { useEffect, useState } from "react";
import type { Id } from "../../api/types";
import { displayName } from "../../state/select";
import { useModel } from "../context";
import styles from "./TypingLine.module.css";

/** Who is writing right now. The line keeps its height, so that nothing jumps. */
export function TypingLine({ guildId, channelId }: { guildId: Id | null; channelId: Id }) {
  const until = useModel((model) => model.typing[channelId]);
  const [now, setNow] = useState(() => Date.now());
  // Wakes when the next of them has been silent for long enough, and at once when someone begins.
  useEffect(() => {
    const ends = Object.values(until ?? {}).filter((end) => end > Date.now());
    const timers = [setTimeout(() => setNow(Date.now()), 0), ...ends.map((end) => setTimeout(() => setNow(Date.now()), end - Date.now() + 20))];
    return () => timers.forEach(clearTimeout);
  }, [until]);
  const active = Object.entries(until ?? {}).filter(([, end]) => end > now);
  const names = useModel((model) => active.slice(0, 3).map(([user]) => displayName(model, guildId, user)));
  const text = active.length > 3 ? "Several people are writing…" : sentence(names);
  return (
    <p className={styles.line} data-testid="typing">
      {text !== "" && (
        <>
          <span className={styles.dots} aria-hidden="true">
            <i />
            <i />
            <i />
          </span>
          {text}
        </>
      )}
    </p>
  );
}

function sentence(names: readonly string[]): string {
  const [first, second, third] = names;
  if (first === undefined) return "";
  if (second === undefined) return `${first} is writing…`;
  if (third === undefined) return `${first} and ${second} are writing…`;
  return `${first}, ${second} and ${third} are writing…`;
}
