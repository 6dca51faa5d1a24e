import type { Id } from "../../api/types";
import { displayName } from "../../state/select";
import { tokenize } from "../../state/text";
import { useModel } from "../context";
import styles from "./RichText.module.css";

/** Message text with links and mentions; everything else is shown as it was written. */
export function RichText({ content, guildId }: { content: string; guildId: Id }) {
  return tokenize(content).map((token, at) => {
    // Tokens of one text never move among themselves: the place is the key.
    const key = `${at}-${token.kind}`;
    switch (token.kind) {
      case "text":
        return token.text;
      case "link":
        return (
          <a key={key} href={token.href} target="_blank" rel="noreferrer noopener">
            {token.href}
          </a>
        );
      case "user":
        return <UserMention key={key} guildId={guildId} id={token.id} />;
      case "role":
        return <RoleMention key={key} guildId={guildId} id={token.id} />;
      case "channel":
        return <ChannelMention key={key} id={token.id} />;
      default:
        return null;
    }
  });
}

function UserMention({ guildId, id }: { guildId: Id; id: Id }) {
  const name = useModel((model) => displayName(model, guildId, id));
  return <span className={styles.mention}>@{name}</span>;
}

function RoleMention({ guildId, id }: { guildId: Id; id: Id }) {
  const name = useModel((model) => model.guilds[guildId]?.roles.find((role) => role.id === id)?.name ?? "unknown role");
  return <span className={styles.mention}>@{name}</span>;
}

function ChannelMention({ id }: { id: Id }) {
  const name = useModel((model) => model.channels[id]?.name ?? "unknown channel");
  return <span className={styles.mention}>#{name}</span>;
}
