import type { Embed, Id } from "../../api/types";
import { isOurs } from "../media";
import { fullTime } from "../time";
import styles from "./Embeds.module.css";
import { RichText } from "./RichText";

/** What bots and webhooks lay out. */
export function Embeds({ embeds, guildId }: { embeds: readonly Embed[]; guildId: Id | null }) {
  // Embeds of one message never move among themselves: the place is the key.
  // oxlint-disable-next-line react/no-array-index-key
  return embeds.map((embed, at) => <EmbedBox key={at} embed={embed} guildId={guildId} />);
}

function EmbedBox({ embed, guildId }: { embed: Embed; guildId: Id | null }) {
  const color = embed.color === undefined ? undefined : `#${embed.color.toString(16).padStart(6, "0")}`;
  return (
    <aside className={styles.embed} style={{ borderLeftColor: color }} data-testid="embed">
      <div>
        {embed.author !== undefined && (
          <p className={styles.author}>
            <Linked href={embed.author.url}>{embed.author.name}</Linked>
          </p>
        )}
        {embed.title !== undefined && (
          <p className={styles.title}>
            <Linked href={embed.url}>{embed.title}</Linked>
          </p>
        )}
        {embed.description !== undefined && (
          <div className={styles.description}>
            <RichText content={embed.description} guildId={guildId} />
          </div>
        )}
        {embed.fields !== undefined && embed.fields.length > 0 && (
          <dl className={styles.fields}>
            {embed.fields.map((field, at) => (
              // oxlint-disable-next-line react/no-array-index-key
              <div key={at} data-inline={field.inline === true}>
                <dt>{field.name}</dt>
                <dd>
                  <RichText content={field.value} guildId={guildId} />
                </dd>
              </div>
            ))}
          </dl>
        )}
        {embed.image !== undefined && <Picture url={embed.image.url} />}
        {(embed.footer !== undefined || embed.timestamp !== undefined) && (
          <p className={styles.footer}>{[embed.footer?.text, embed.timestamp === undefined ? undefined : fullTime(Date.parse(embed.timestamp))].filter((part) => part !== undefined).join(" · ")}</p>
        )}
      </div>
      {embed.thumbnail !== undefined && isOurs(embed.thumbnail.url) && <img className={styles.thumbnail} src={embed.thumbnail.url} alt="" loading="lazy" />}
    </aside>
  );
}

function Linked({ href, children }: { href: string | undefined; children: string }) {
  if (href === undefined || !/^https?:\/\//.test(href)) return children;
  return (
    <a href={href} target="_blank" rel="noreferrer noopener">
      {children}
    </a>
  );
}

/** A picture elsewhere is a link: loading it would tell its server who reads here. */
function Picture({ url }: { url: string }) {
  if (isOurs(url)) return <img className={styles.image} src={url} alt="" loading="lazy" />;
  return (
    <p className={styles.footer}>
      <Linked href={url}>{url}</Linked>
    </p>
  );
}
