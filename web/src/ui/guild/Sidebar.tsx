import { useState } from "react";
import { type Channel, ChannelType, type Id } from "../../api/types";
import { Permission } from "../../state/permissions";
import { channelGroups, firstTextChannel, mayInChannel, mayInGuild } from "../../state/select";
import { listedThreads } from "../../state/threads";
import { useApp, useModel, usePage } from "../context";
import { IconButton } from "../parts/Button";
import { GearIcon, InviteIcon, LeaveIcon, PlusIcon } from "../parts/icons";
import { ConversationList } from "../people/ConversationList";
import { VoicePanel } from "../voice/VoicePanel";
import { ChannelItem, VoiceChannelItem } from "./ChannelItem";
import { ThreadItem } from "./ThreadItem";
import { ConfirmDialog, CreateChannelDialog, InviteDialog } from "./dialogs";
import { GuildSettings, mayRun } from "../settings/GuildSettings";
import styles from "./Sidebar.module.css";
import { UserPanel } from "./UserPanel";

interface Props {
  guildId: Id | null;
  openChannelId: Id | null;
  onOpenChannel: () => void;
}

/** The channels of the open guild; below them the running call and this user. */
export function Sidebar({ guildId, openChannelId, onOpenChannel }: Props) {
  return (
    <div className={styles.sidebar}>
      {guildId === null ? <ConversationList openChannelId={openChannelId} onOpen={onOpenChannel} /> : <GuildChannels guildId={guildId} openChannelId={openChannelId} onOpenChannel={onOpenChannel} />}
      <VoicePanel />
      <UserPanel />
    </div>
  );
}

type Open = { name: "invite" | "leave" | "settings" } | { name: "channel"; kind: number; categoryId: Id | null };

function GuildChannels({ guildId, openChannelId, onOpenChannel }: Props & { guildId: Id }) {
  const app = useApp();
  const guildName = useModel((model) => model.guilds[guildId]?.name ?? "");
  const isOwner = useModel((model) => model.guilds[guildId]?.owner_id === model.me?.id);
  const channels = useModel((model) => model.channels);
  const mayCreate = useModel((model) => mayInGuild(model, guildId, Permission.manageChannels));
  const inviteTo = useModel((model) => openChannelId ?? firstTextChannel(model, guildId));
  const mayInvite = useModel((model) => inviteTo !== null && mayInChannel(model, inviteTo, Permission.createInvite));
  const mayManage = useModel((model) => mayRun(model, guildId));
  const [dialog, setDialog] = useState<Open | null>(null);
  const close = () => setDialog(null);
  return (
    <>
      <header className={styles.header}>
        <h2 title={guildName}>{guildName}</h2>
        {mayCreate && (
          <IconButton label="New channel" data-testid="channel-create" onClick={() => setDialog({ name: "channel", kind: ChannelType.text, categoryId: null })}>
            <PlusIcon />
          </IconButton>
        )}
        {mayInvite && (
          <IconButton label="Invite people" data-testid="invite-create" onClick={() => setDialog({ name: "invite" })}>
            <InviteIcon />
          </IconButton>
        )}
        {mayManage && (
          <IconButton label="Guild settings" data-testid="guild-settings" onClick={() => setDialog({ name: "settings" })}>
            <GearIcon />
          </IconButton>
        )}
        {!isOwner && (
          <IconButton label="Leave this guild" data-testid="guild-leave" onClick={() => setDialog({ name: "leave" })}>
            <LeaveIcon size={18} />
          </IconButton>
        )}
      </header>
      <nav className={styles.channels} aria-label="Channels">
        {channelGroups(channels, guildId).map(({ category, text, voice }) => (
          <section key={category?.id ?? "top"} aria-label={category?.name ?? "Channels"}>
            {category !== null && (
              <div className={styles.heading}>
                <h3>{category.name}</h3>
                {mayCreate && (
                  <IconButton
                    label={`New channel in ${category.name}`}
                    data-testid={`channel-create-in-${category.name}`}
                    onClick={() =>
                      setDialog({ name: "channel", kind: text.length === 0 && voice.length > 0 ? ChannelType.voice : ChannelType.text, categoryId: category.id })
                    }
                  >
                    <PlusIcon size={16} />
                  </IconButton>
                )}
              </div>
            )}
            <ul>
              {text.map((channel) => (
                <ChannelWithThreads key={channel.id} channel={channel} isOpen={channel.id === openChannelId} onOpen={onOpenChannel} />
              ))}
              {voice.map((channel) => (
                <VoiceChannelItem key={channel.id} channel={channel} isOpen={channel.id === openChannelId} onOpen={onOpenChannel} />
              ))}
            </ul>
          </section>
        ))}
      </nav>
      {dialog?.name === "settings" && <GuildSettings guildId={guildId} onClose={close} />}
      {dialog?.name === "channel" && <CreateChannelDialog guildId={guildId} kind={dialog.kind} categoryId={dialog.categoryId} onClose={close} />}
      {dialog?.name === "invite" && inviteTo !== null && <InviteDialog guildName={guildName} channelId={inviteTo} onClose={close} />}
      {dialog?.name === "leave" && (
        <ConfirmDialog
          title={`Leave ${guildName}?`}
          text="You need a new invite to come back."
          action="Leave"
          onConfirm={() => void app.leaveGuild(guildId).catch(() => app.notify("The guild could not be left."))}
          onClose={close}
        />
      )}
    </>
  );
}

function ChannelWithThreads({ channel, isOpen, onOpen }: { channel: Channel; isOpen: boolean; onOpen: () => void }) {
  const openThread = usePage((page) => (page.route.name === "guild" ? page.route.threadId : null));
  const threads = useModel((model) => listedThreads(model.threads, channel.id, openThread));
  return (
    <>
      <ChannelItem channel={channel} isOpen={isOpen && openThread === null} onOpen={onOpen} />
      {threads.map((thread) => (
        <ThreadItem key={thread.id} thread={thread} isOpen={thread.id === openThread} onOpen={onOpen} />
      ))}
    </>
  );
}
