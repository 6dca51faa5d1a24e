import { useState } from "react";
import { ChannelType, type Id } from "../../api/types";
import type { MembersToggle } from "../Shell";
import { Permission } from "../../state/permissions";
import { mayInChannel, placeName } from "../../state/select";
import { useModel } from "../context";
import { IconButton } from "../parts/Button";
import { AtIcon, BackIcon, ChannelIcon, GearIcon, PeopleIcon, PinIcon, RecordIcon, ScreenIcon, SearchIcon, ThreadIcon } from "../parts/icons";
import { ConversationTools } from "../people/ConversationTools";
import { ChannelSettings } from "../settings/ChannelSettings";
import { StartThreadDialog } from "../threads/StartThreadDialog";
import { ThreadsDialog } from "../threads/ThreadsDialog";
import { RecordingsDialog, useMayRecord } from "../voice/Recordings";
import { StreamKeysDialog } from "../voice/StreamKeys";
import styles from "./ChannelHeader.module.css";
import { PinsPanel } from "./PinsPanel";
import { SearchPanel } from "./SearchPanel";

interface Props {
  guildId: Id | null;
  channelId: Id;
  members: MembersToggle;
  onBack: () => void;
}

export function ChannelHeader({ guildId, channelId, members, onBack }: Props) {
  const [panel, setPanel] = useState<"pins" | "search" | "threads" | "thread" | "settings" | "streams" | "recordings" | null>(null);
  const close = () => setPanel(null);
  const name = useModel((model) => placeName(model, channelId));
  const channel = useModel((model) => model.channels[channelId]);
  const conversation = useModel((model) => model.privateChannels[channelId]);
  const maySet = useModel((model) => guildId !== null && (mayInChannel(model, channelId, Permission.manageChannels) || mayInChannel(model, channelId, Permission.manageRoles)));
  const isVoice = channel?.type === ChannelType.voice || channel?.type === ChannelType.stage;
  const mayStream = useModel((model) => mayInChannel(model, channelId, Permission.connect)) && isVoice;
  const mayRecord = useMayRecord(channelId) && isVoice;
  const hasThreads = channel?.type === ChannelType.text || channel?.type === ChannelType.announcement;
  if (channel === undefined && conversation === undefined) return null;
  return (
    <header className={styles.header}>
      <IconButton className={styles.back} label="Guilds and channels" data-testid="back" onClick={onBack}>
        <BackIcon />
      </IconButton>
      {channel === undefined ? <AtIcon /> : <ChannelIcon type={channel.type} size={20} />}
      <h1 data-testid="channel-title">{name}</h1>
      <p>{channel?.topic}</p>
      {conversation !== undefined && <ConversationTools channel={conversation} />}
      {maySet && (
        <IconButton label="Channel settings" data-testid="channel-settings" onClick={() => setPanel("settings")}>
          <GearIcon />
        </IconButton>
      )}
      {mayStream && (
        <IconButton label="Stream from another program" data-testid="stream-keys" onClick={() => setPanel("streams")}>
          <ScreenIcon />
        </IconButton>
      )}
      {mayRecord && (
        <IconButton label="Recordings" data-testid="recordings" onClick={() => setPanel("recordings")}>
          <RecordIcon />
        </IconButton>
      )}
      {guildId !== null && (
        <IconButton label="Search" data-testid="search" onClick={() => setPanel("search")}>
          <SearchIcon />
        </IconButton>
      )}
      {guildId !== null && hasThreads && (
        <IconButton label="Threads" data-testid="threads" onClick={() => setPanel("threads")}>
          <ThreadIcon />
        </IconButton>
      )}
      {channel?.type !== ChannelType.forum && (
        <IconButton label="Pinned messages" data-testid="pins" onClick={() => setPanel("pins")}>
          <PinIcon />
        </IconButton>
      )}
      {guildId !== null && (
        <button type="button" className={styles.toggle} aria-pressed={members.isShown} aria-label="Member list" title="Member list" data-testid="members-toggle" onClick={members.toggle}>
          <PeopleIcon />
        </button>
      )}
      {panel === "search" && guildId !== null && <SearchPanel guildId={guildId} onClose={close} />}
      {panel === "settings" && channel !== undefined && <ChannelSettings channel={channel} onClose={close} />}
      {panel === "threads" && guildId !== null && <ThreadsDialog guildId={guildId} channelId={channelId} onStart={() => setPanel("thread")} onClose={close} />}
      {panel === "thread" && guildId !== null && <StartThreadDialog guildId={guildId} channelId={channelId} from={null} onClose={close} />}
      {panel === "streams" && <StreamKeysDialog channelId={channelId} onClose={close} />}
      {panel === "recordings" && guildId !== null && <RecordingsDialog guildId={guildId} channelId={channelId} onClose={close} />}
      {panel === "pins" && <PinsPanel guildId={guildId} channelId={channelId} onClose={close} />}
    </header>
  );
}
