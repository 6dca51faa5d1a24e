import { useState } from "react";
import type { Id } from "../../api/types";
import { isGuildUnread, mentionCount } from "../../state/select";
import { useApp, useModel } from "../context";
import { Badge } from "../parts/Badge";
import { Mark } from "../parts/Brand";
import { GuildBanner } from "../parts/GuildBanner";
import { CompassIcon, PlusIcon } from "../parts/icons";
import { CreateGuildDialog, JoinGuildDialog } from "./dialogs";
import styles from "./GuildRail.module.css";

/** All guilds, and the two ways to get another one. */
export function GuildRail({ openGuildId }: { openGuildId: Id | null }) {
  const app = useApp();
  const guildOrder = useModel((model) => model.guildOrder);
  const privateMentions = useModel((model) => mentionCount(model, null));
  const [dialog, setDialog] = useState<"create" | "join" | null>(null);
  const close = () => setDialog(null);
  return (
    <nav className={styles.rail} aria-label="Guilds">
      <button type="button" className={styles.home} aria-label="Home" title="Home" aria-current={openGuildId === null ? "page" : undefined} onClick={() => app.go({ name: "home" })}>
        <Mark size={28} />
        <span className={styles.count}>
          <Badge count={privateMentions} />
        </span>
      </button>
      <ul className={styles.list}>
        {guildOrder.map((id) => (
          <GuildItem key={id} id={id} isOpen={id === openGuildId} />
        ))}
      </ul>
      <button type="button" className={styles.action} aria-label="Create a guild" title="Create a guild" data-testid="guild-create" onClick={() => setDialog("create")}>
        <PlusIcon />
      </button>
      <button type="button" className={styles.action} aria-label="Join by invite" title="Join by invite" data-testid="guild-join" onClick={() => setDialog("join")}>
        <CompassIcon />
      </button>
      {dialog === "create" && <CreateGuildDialog onClose={close} />}
      {dialog === "join" && <JoinGuildDialog onClose={close} />}
    </nav>
  );
}

function GuildItem({ id, isOpen }: { id: Id; isOpen: boolean }) {
  const app = useApp();
  const name = useModel((model) => model.guilds[id]?.name ?? null);
  const isUnread = useModel((model) => isGuildUnread(model, id));
  const mentions = useModel((model) => mentionCount(model, id));
  const icon = useModel((model) => model.guilds[id]?.icon ?? null);
  if (name === null) return <li className={styles.ghost} aria-hidden="true" />;
  return (
    <li className={styles.item} data-open={isOpen} data-unread={isUnread && !isOpen}>
      <button
        type="button"
        title={name}
        aria-label={isUnread ? `${name}, unread` : name}
        aria-current={isOpen ? "page" : undefined}
        data-testid="guild-item"
        onClick={() => app.openGuild(id)}
      >
        <GuildBanner id={id} name={name} icon={icon} size={44} />
        <span className={styles.count}>
          <Badge count={mentions} />
        </span>
      </button>
    </li>
  );
}
