import { type ReactNode, useState } from "react";
import type { Id } from "../../api/types";
import { type Block, type Inline, parse } from "../../state/markdown";
import { displayName } from "../../state/select";
import { useModel } from "../context";
import { formatTimestamp, fullTime } from "../time";
import { Emoji } from "./Emoji";
import styles from "./RichText.module.css";

/** Message text with its markup, links, mentions and emojis. */
export function RichText({ content, guildId }: { content: string; guildId: Id | null }) {
  const blocks = parse(content);
  // A message of a few emojis and nothing else shows them large.
  const isJumbo = blocks.length === 1 && blocks[0]?.kind === "paragraph" && isOnlyEmojis(blocks[0].children);
  return (
    <span className={styles.text} data-jumbo={isJumbo}>
      <Blocks blocks={blocks} guildId={guildId} />
    </span>
  );
}

const JUMBO = 27;
const EMOJIS_ONLY = /^(?:\p{Extended_Pictographic}|\p{Emoji_Modifier}|\p{Regional_Indicator}|\u200D|\uFE0F|\s)+$/u;

function isOnlyEmojis(tokens: readonly Inline[]): boolean {
  return tokens.length <= JUMBO && tokens.every((token) => token.kind === "emoji" || (token.kind === "text" && token.text.length <= 2 * JUMBO && EMOJIS_ONLY.test(token.text)));
}

// Parts of one text never move among themselves: the place is the key.
function Blocks({ blocks, guildId }: { blocks: readonly Block[]; guildId: Id | null }): ReactNode {
  return blocks.map((block, at) => {
    const key = `${at}-${block.kind}`;
    switch (block.kind) {
      case "paragraph":
        return (
          <span key={key} className={styles.paragraph}>
            <Line tokens={block.children} guildId={guildId} />
          </span>
        );
      case "heading":
        return (
          <strong key={key} className={styles.heading} data-level={block.level}>
            <Line tokens={block.children} guildId={guildId} />
          </strong>
        );
      case "subtext":
        return (
          <small key={key} className={styles.subtext}>
            <Line tokens={block.children} guildId={guildId} />
          </small>
        );
      case "quote":
        return (
          <blockquote key={key} className={styles.quote}>
            <Blocks blocks={block.children} guildId={guildId} />
          </blockquote>
        );
      case "list": {
        const items = block.items.map((item, index) => (
          // oxlint-disable-next-line react/no-array-index-key
          <li key={index}>
            <Line tokens={item} guildId={guildId} />
          </li>
        ));
        return block.start === null ? (
          <ul key={key} className={styles.list}>
            {items}
          </ul>
        ) : (
          <ol key={key} className={styles.list} start={block.start}>
            {items}
          </ol>
        );
      }
      case "code":
        return (
          <pre key={key} className={styles.block} data-language={block.language}>
            <code>{block.text}</code>
          </pre>
        );
      default:
        return null;
    }
  });
}

function Line({ tokens, guildId }: { tokens: readonly Inline[]; guildId: Id | null }): ReactNode {
  return tokens.map((token, at) => {
    const key = `${at}-${token.kind}`;
    const inside = "children" in token ? <Line tokens={token.children} guildId={guildId} /> : null;
    switch (token.kind) {
      case "text":
        return token.text;
      case "strong":
        return <strong key={key}>{inside}</strong>;
      case "em":
        return <em key={key}>{inside}</em>;
      case "underline":
        return <u key={key}>{inside}</u>;
      case "strike":
        return <s key={key}>{inside}</s>;
      case "spoiler":
        return <Spoiler key={key}>{inside}</Spoiler>;
      case "code":
        return (
          <code key={key} className={styles.code}>
            {token.text}
          </code>
        );
      case "link":
        return (
          <a key={key} href={token.href} target="_blank" rel="noreferrer noopener" title={token.href}>
            {inside}
          </a>
        );
      case "user":
        return <UserMention key={key} guildId={guildId} id={token.id} />;
      case "role":
        return <RoleMention key={key} guildId={guildId} id={token.id} />;
      case "channel":
        return <ChannelMention key={key} id={token.id} />;
      case "everyone":
        return (
          <span key={key} className={styles.mention}>
            {token.text}
          </span>
        );
      case "emoji":
        return <Emoji key={key} emoji={{ id: token.id, name: token.name, animated: token.isAnimated }} />;
      case "time":
        return (
          <time key={key} className={styles.time} dateTime={new Date(token.atMs).toISOString()} title={fullTime(token.atMs)}>
            {formatTimestamp(token.atMs, token.style, Date.now())}
          </time>
        );
      default:
        return null;
    }
  });
}

function Spoiler({ children }: { children: ReactNode }) {
  const [isShown, setShown] = useState(false);
  if (isShown) return <span className={styles.revealed}>{children}</span>;
  return (
    <button type="button" className={styles.spoiler} aria-label="Spoiler, show it" data-testid="spoiler" onClick={() => setShown(true)}>
      <span aria-hidden="true">{children}</span>
    </button>
  );
}

function UserMention({ guildId, id }: { guildId: Id | null; id: Id }) {
  const name = useModel((model) => displayName(model, guildId, id));
  return <span className={styles.mention}>@{name}</span>;
}

function RoleMention({ guildId, id }: { guildId: Id | null; id: Id }) {
  const name = useModel((model) => model.guilds[guildId ?? ""]?.roles.find((role) => role.id === id)?.name ?? "unknown role");
  return <span className={styles.mention}>@{name}</span>;
}

function ChannelMention({ id }: { id: Id }) {
  const name = useModel((model) => model.channels[id]?.name ?? "unknown channel");
  return <span className={styles.mention}>#{name}</span>;
}
