import { type KeyboardEvent, useEffect, useEffectEvent, useRef, useState } from "react";
import { ChannelType, type Id, type Message } from "../../api/types";
import { Permission } from "../../state/permissions";
import { mayInChannel, mayWrite, placeName, timelineRows } from "../../state/select";
import type { Timeline } from "../../state/timeline";
import { useApp, useModel, usePage } from "../context";
import { Button } from "../parts/Button";
import { DownIcon } from "../parts/icons";
import { dayName } from "../time";
import { MessageItem, PendingItem } from "./MessageItem";
import styles from "./MessageList.module.css";

interface Props {
  guildId: Id | null;
  channelId: Id;
  timeline: Timeline;
  editing: Id | null;
  onEdit: (message: Id | null) => void;
  onReply: (message: Message) => void;
}

/** How far from the newest message still counts as being there. */
const NEAR_BOTTOM_PX = 160;

/**
 * The history. The scroller runs from the bottom (column-reverse): the newest message stays in view by itself, and older
 * pages grow out of sight without moving what one reads.
 */
export function MessageList({ guildId, channelId, timeline, editing, onEdit, onReply }: Props) {
  const app = useApp();
  const scroller = useRef<HTMLDivElement>(null);
  const [isAway, setAway] = useState(false);
  const me = useModel((model) => model.me?.id ?? null);
  const mayManage = useModel((model) => mayInChannel(model, channelId, Permission.manageMessages));
  const mayReact = useModel((model) => mayInChannel(model, channelId, Permission.addReactions | Permission.readHistory));
  const mayReply = useModel((model) => mayWrite(model, channelId) && mayInChannel(model, channelId, Permission.readHistory));
  const mayThread = useModel((model) => {
    const type = model.channels[channelId]?.type;
    return (type === ChannelType.text || type === ChannelType.announcement) && mayInChannel(model, channelId, Permission.createPublicThreads | Permission.readHistory);
  });
  const isThread = useModel((model) => model.threads[channelId] !== undefined);
  const mayPin = useModel((model) => mayInChannel(model, channelId, Permission.pinMessages));
  const channelName = useModel((model) => (model.channels[channelId] === undefined ? placeName(model, channelId) : `#${placeName(model, channelId)}`));
  const { messages, pending, hasOlder, load } = timeline;
  const rows = timelineRows(messages, pending);
  const oldest = messages[0]?.id;

  // What one sends oneself is always brought into view.
  const newestOwn = pending.at(-1)?.nonce;
  useEffect(() => {
    if (newestOwn !== undefined) scroller.current?.scrollTo({ top: 0 });
  }, [newestOwn]);

  const shown = usePage((page) => (page.shown?.channelId === channelId ? page.shown : null));
  useEffect(() => {
    if (shown === null) return;
    const article = scroller.current?.querySelector<HTMLElement>(`article[data-message="${shown.messageId}"]`);
    article?.scrollIntoView({ block: "center" });
    article?.focus({ preventScroll: true });
  }, [shown]);

  return (
    <div className={styles.frame}>
      <div ref={scroller} className={styles.scroller} data-scroller onScroll={(event) => setAway(event.currentTarget.scrollTop < -NEAR_BOTTOM_PX)}>
        <div className={styles.content}>
          {load === "loading" && messages.length === 0 && <Skeleton />}
          {load === "failed" && (
            <div className={styles.failed} role="alert">
              <p>The messages could not be loaded.</p>
              <Button look="quiet" onClick={() => void app.loadTimeline(channelId)}>
                Try again
              </Button>
            </div>
          )}
          {load === "loaded" && hasOlder && <OlderEdge key={oldest} onNear={() => void app.loadOlder(channelId)} />}
          {load === "loaded" && !hasOlder && (
            <div className={styles.start}>
              <h2>{channelName}</h2>
              <p>{messages.length === 0 ? "Nobody has written here yet. Say the first word." : `This is where the ${isThread ? "thread" : guildId === null ? "conversation" : "channel"} begins.`}</p>
            </div>
          )}
          {/* The list only listens in for the arrow keys of the articles in it. */}
          {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-element-interactions */}
          <ol aria-label={`Messages in ${channelName}`} onKeyDown={moveFocus} data-testid="messages">
            {rows.map((row) => {
              if (row.kind === "day") {
                return (
                  <li key={row.key} className={styles.day}>
                    <span>{dayName(row.atMs)}</span>
                  </li>
                );
              }
              if (row.kind === "pending") return <PendingItem key={row.key} channelId={channelId} pending={row.pending} isFirst={row.isFirst} />;
              const isOwn = row.message.author.id === me;
              return (
                <MessageItem
                  key={row.key}
                  guildId={guildId}
                  message={row.message}
                  isFirst={row.isFirst}
                  isOwn={isOwn}
                  isNewest={row.message === messages.at(-1)}
                  mayDelete={isOwn || mayManage}
                  mayReact={mayReact}
                  mayReply={mayReply}
                  mayPin={mayPin}
                  mayThread={mayThread}
                  isEditing={row.message.id === editing}
                  onEdit={onEdit}
                  onReply={onReply}
                />
              );
            })}
          </ol>
        </div>
      </div>
      {isAway && (
        <button type="button" className={styles.present} onClick={() => scroller.current?.scrollTo({ top: 0 })}>
          To the newest <DownIcon size={16} />
        </button>
      )}
    </div>
  );
}

/**
 * The top of what is here. Coming near asks for the next page; it is a new element for every page, so that a page shorter
 * than the screen loads on.
 */
function OlderEdge({ onNear }: { onNear: () => void }) {
  const edge = useRef<HTMLParagraphElement>(null);
  const near = useEffectEvent(onNear);
  useEffect(() => {
    if (edge.current === null) return undefined;
    const observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && near(), {
      root: edge.current.closest("[data-scroller]"),
      rootMargin: "600px 0px 0px 0px",
    });
    observer.observe(edge.current);
    return () => observer.disconnect();
  }, []);
  return (
    <p ref={edge} className={styles.older}>
      Loading older messages…
    </p>
  );
}

/** Arrow keys walk from message to message; Tab leaves into the toolbar of the one in focus. */
function moveFocus(event: KeyboardEvent<HTMLOListElement>): void {
  if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
  const articles = [...event.currentTarget.querySelectorAll<HTMLElement>("article[tabindex]")];
  const at = articles.indexOf(event.target as HTMLElement);
  if (at === -1) return;
  event.preventDefault();
  articles[at + (event.key === "ArrowUp" ? -1 : 1)]?.focus();
}

const SKELETON_WIDTHS = [62, 38, 81, 47, 70, 29];

function Skeleton() {
  return (
    <div className={styles.skeleton} role="status" aria-label="Loading messages">
      {SKELETON_WIDTHS.map((width) => (
        <div key={width}>
          <i />
          <b style={{ width: `${width}%` }} />
        </div>
      ))}
    </div>
  );
}
