import { useState } from "react";
import { ChannelType, type Id } from "../../api/types";
import { Permission } from "../../state/permissions";
import { channelGroups, firstTextChannel, mayInChannel, mayInGuild } from "../../state/select";
import { useApp, useModel } from "../context";
import { IconButton } from "../parts/Button";
import { InviteIcon, LeaveIcon, PlusIcon } from "../parts/icons";
import { VoicePanel } from "../voice/VoicePanel";
import { ChannelItem, VoiceChannelItem } from "./ChannelItem";
import { ConfirmDialog, CreateChannelDialog, InviteDialog } from "./dialogs";
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
      {guildId === null ? <p className={styles.hint}>Choose a guild on the left, or create one.</p> : <GuildChannels guildId={guildId} openChannelId={openChannelId} onOpenChannel={onOpenChannel} />}
      <VoicePanel />
      <UserPanel />
    </div>
  );
}

function GuildChannels({ guildId, openChannelId, onOpenChannel }: Props & { guildId: Id }) {
  const app = useApp();
  const guildName = useModel((model) => model.guilds[guildId]?.name ?? "");
  const isOwner = useModel((model) => model.guilds[guildId]?.owner_id === model.me?.id);
  const channels = useModel((model) => model.channels);
  const mayCreate = useModel((model) => mayInGuild(model, guildId, Permission.manageChannels));
  const inviteTo = useModel((model) => openChannelId ?? firstTextChannel(model, guildId));
  const mayInvite = useModel((model) => inviteTo !== null && mayInChannel(model, inviteTo, Permission.createInvite));
  const [dialog, setDialog] = useState<"text" | "voice" | "invite" | "leave" | null>(null);
  const close = () => setDialog(null);
  const groups = channelGroups(channels, guildId);
  return (
    <>
      <header className={styles.header}>
        <h1 title={guildName}>{guildName}</h1>
        {mayInvite && (
          <IconButton label="Invite people" data-testid="invite-create" onClick={() => setDialog("invite")}>
            <InviteIcon />
          </IconButton>
        )}
        {!isOwner && (
          <IconButton label="Leave this guild" data-testid="guild-leave" onClick={() => setDialog("leave")}>
            <LeaveIcon size={18} />
          </IconButton>
        )}
      </header>
      <nav className={styles.channels} aria-label="Channels">
        {groups.map((group) => (
          <section key={group.category?.id ?? "top"}>
            {group.category !== null && <h2 className={styles.category}>{group.category.name}</h2>}
            {(group.text.length > 0 || group.category === null) && (
              <Heading title="Text" isShown={group.category === null} onCreate={mayCreate ? () => setDialog("text") : null} testId="channel-create" />
            )}
            <ul>
              {group.text.map((channel) => (
                <ChannelItem key={channel.id} channel={channel} isOpen={channel.id === openChannelId} onOpen={onOpenChannel} />
              ))}
            </ul>
            {(group.voice.length > 0 || group.category === null) && (
              <Heading title="Voice" isShown={group.category === null} onCreate={mayCreate ? () => setDialog("voice") : null} testId="channel-create-voice-button" />
            )}
            <ul>
              {group.voice.map((channel) => (
                <VoiceChannelItem key={channel.id} channel={channel} isOpen={channel.id === openChannelId} onOpen={onOpenChannel} />
              ))}
            </ul>
          </section>
        ))}
      </nav>
      {(dialog === "text" || dialog === "voice") && <CreateChannelDialog guildId={guildId} kind={ChannelType[dialog]} onClose={close} />}
      {dialog === "invite" && inviteTo !== null && <InviteDialog guildName={guildName} channelId={inviteTo} onClose={close} />}
      {dialog === "leave" && (
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

function Heading({ title, isShown, onCreate, testId }: { title: string; isShown: boolean; onCreate: (() => void) | null; testId: string }) {
  if (!isShown) return null;
  return (
    <div className={styles.heading}>
      <h2>{title}</h2>
      {onCreate !== null && (
        <IconButton label={`New ${title.toLowerCase()} channel`} data-testid={testId} onClick={onCreate}>
          <PlusIcon size={16} />
        </IconButton>
      )}
    </div>
  );
}
