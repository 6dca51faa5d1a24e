import { useEffect, useRef, useState } from "react";
import { findEmojis } from "../../state/emojis";
import type { EmojiRef, Id } from "../../api/types";
import type { Model } from "../../state/model";
import { Emoji } from "../chat/Emoji";
import { useModel } from "../context";
import styles from "./EmojiPicker.module.css";

interface Props {
  /** Whose own emojis come first; `null`: none. */
  guildId: Id | null;
  /** Where on the screen it was asked for; it opens there, or as near as it fits. */
  at: Point;
  onPick: (emoji: EmojiRef) => void;
  onClose: () => void;
}

export interface Point {
  x: number;
  y: number;
  /** Where it ends instead, if there is no room below. */
  top: number;
}

const WIDTH = 320;
const HEIGHT = 340;
const EDGE = 12;

/** Where a picker opens for a control: below its left edge, or above it. */
export function below(element: Element): Point {
  const { left, top, bottom } = element.getBoundingClientRect();
  return { x: left, y: bottom + 4, top: top - 8 };
}

/** What the guilds have of their own, this one's first. */
function guildEmojis(guilds: Model["guilds"], order: readonly Id[], first: Id | null, query: string): { title: string; emojis: readonly EmojiRef[] }[] {
  const wanted = query.trim().toLowerCase();
  return [...order]
    .toSorted((a, b) => Number(b === first) - Number(a === first))
    .map((id) => ({
      title: id === first ? "Of this guild" : (guilds[id]?.name ?? ""),
      emojis: (guilds[id]?.emojis ?? []).filter((emoji) => emoji.name.toLowerCase().includes(wanted)),
    }))
    .filter((group) => group.emojis.length > 0);
}

/** A palette to choose from, found by words. Escape or a press elsewhere closes it. */
export function EmojiPicker({ guildId, at, onPick, onClose }: Props) {
  const [query, setQuery] = useState("");
  const root = useRef<HTMLDivElement>(null);
  const search = useRef<HTMLInputElement>(null);
  const guilds = useModel((model) => model.guilds);
  const order = useModel((model) => model.guildOrder);
  useEffect(() => {
    search.current?.focus();
    const onKey = (event: KeyboardEvent) => {
      if (event.key === "Escape") onClose();
    };
    const onPress = (event: PointerEvent) => {
      if (event.target instanceof Node && root.current?.contains(event.target) === false) onClose();
    };
    document.addEventListener("keydown", onKey);
    document.addEventListener("pointerdown", onPress);
    return () => {
      document.removeEventListener("keydown", onKey);
      document.removeEventListener("pointerdown", onPress);
    };
  }, [onClose]);
  const left = Math.max(EDGE, Math.min(at.x, window.innerWidth - WIDTH - EDGE));
  const hasRoom = at.y + HEIGHT + EDGE <= window.innerHeight;
  const top = Math.max(EDGE, hasRoom ? at.y : Math.min(at.top - HEIGHT, window.innerHeight - HEIGHT - EDGE));
  const groups = [
    ...guildEmojis(guilds, order, guildId, query),
    ...findEmojis(query).map((group) => ({ title: group.title, emojis: group.emojis.map(({ text, words }) => ({ id: null, name: text, words })) })),
  ];
  return (
    <div ref={root} className={styles.picker} style={{ left, top, width: WIDTH, height: HEIGHT }} role="dialog" aria-label="Choose an emoji" data-testid="emoji-picker">
      <input ref={search} type="search" aria-label="Find an emoji" placeholder="Find an emoji" value={query} data-testid="emoji-search" onChange={(event) => setQuery(event.target.value)} />
      <div className={styles.groups}>
        {groups.map((group) => (
          <section key={group.title} aria-label={group.title}>
            <h3>{group.title}</h3>
            <div className={styles.grid}>
              {group.emojis.map((emoji) => (
                <button key={emoji.id ?? emoji.name} type="button" title={"words" in emoji ? emoji.words : `:${emoji.name ?? ""}:`} data-emoji={emoji.name} onClick={() => onPick("words" in emoji ? { id: null, name: emoji.name } : emoji)}>
                  <Emoji emoji={emoji} />
                </button>
              ))}
            </div>
          </section>
        ))}
        {groups.length === 0 && <p>Nothing found.</p>}
      </div>
    </div>
  );
}
