import { useState } from "react";
import { ChannelType, type Id, type PrivateChannel } from "../../api/types";
import { isUnread, placeName, privateChannels } from "../../state/select";
import { useApp, useModel, usePage } from "../context";
import styles from "../guild/ChannelItem.module.css";
import sidebar from "../guild/Sidebar.module.css";
import { Avatar } from "../parts/Avatar";
import { Badge } from "../parts/Badge";
import { IconButton } from "../parts/Button";
import { CloseIcon, PeopleIcon, PlusIcon } from "../parts/icons";
import { NewConversationDialog } from "./dialogs";
import own from "./people.module.css";

/** At home: friends, and the conversations with people. */
export function ConversationList({ openChannelId, onOpen }: { openChannelId: Id | null; onOpen: () => void }) {
  const app = useApp();
  const channels = useModel(privateChannels);
  const isAtFriends = usePage((page) => page.route.name === "friends");
  const [isNew, setNew] = useState(false);
  return (
    <>
      <header className={sidebar.header}>
        <h2>Conversations</h2>
        <IconButton label="New conversation" data-testid="conversation-create" onClick={() => setNew(true)}>
          <PlusIcon />
        </IconButton>
      </header>
      <nav className={sidebar.channels} aria-label="Conversations">
        <ul>
          <li>
            <button
              type="button"
              className={styles.channel}
              aria-current={isAtFriends ? "page" : undefined}
              data-testid="friends"
              onClick={() => {
                app.go({ name: "friends" });
                onOpen();
              }}
            >
              <PeopleIcon size={18} />
              <span className={styles.name}>Friends</span>
            </button>
          </li>
          {channels.map((channel) => (
            <Conversation key={channel.id} channel={channel} isOpen={channel.id === openChannelId} onOpen={onOpen} />
          ))}
        </ul>
      </nav>
      {isNew && <NewConversationDialog onClose={() => setNew(false)} />}
    </>
  );
}

function Conversation({ channel, isOpen, onOpen }: { channel: PrivateChannel; isOpen: boolean; onOpen: () => void }) {
  const app = useApp();
  const name = useModel((model) => placeName(model, channel.id));
  const hasNews = useModel((model) => isUnread(model, channel.id));
  const mentions = useModel((model) => model.readStates[channel.id]?.mentions ?? 0);
  const partner = channel.type === ChannelType.private ? channel.recipients[0] : undefined;
  const status = useModel((model) => (partner === undefined ? undefined : (model.presences[partner.id] ?? "offline")));
  return (
    <li className={own.conversation}>
      <button
        type="button"
        className={styles.channel}
        data-unread={hasNews}
        aria-current={isOpen ? "page" : undefined}
        aria-label={hasNews ? `${name}, unread` : name}
        data-testid="conversation"
        data-name={name}
        onClick={() => {
          app.openPrivate(channel.id);
          onOpen();
        }}
      >
        <Avatar id={partner?.id ?? channel.id} name={name} hash={partner?.avatar ?? null} size={28} {...(status === undefined ? {} : { status })} />
        <span className={styles.name}>{name}</span>
        <Badge count={mentions} />
      </button>
      <IconButton className={own.close} label={channel.type === ChannelType.group ? `Leave ${name}` : `Hide ${name}`} onClick={() => void app.closePrivate(channel.id)}>
        <CloseIcon size={14} />
      </IconButton>
    </li>
  );
}
